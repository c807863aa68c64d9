// Copying needs a script, and so does waiting without reloading the page. All pages work without it.
"use strict";
for (const button of document.querySelectorAll("[data-copy]")) {
	button.hidden = false;
	button.addEventListener("click", async () => {
		const field = document.getElementById(button.dataset.copy);
		field.select();
		// Over plain http there is no clipboard API, only execCommand.
		const copied = await navigator.clipboard?.writeText(field.value).then(() => true, () => false) || document.execCommand("copy");
		button.firstChild.data = copied ? "Copied" : "Press Ctrl-C";
	});
}
// Poll what is in progress until it changes, then reload the page.
const waiting = document.querySelector("[data-poll]");
if (waiting) {
	const ask = async () => {
		try {
			const answer = await fetch(waiting.dataset.poll, { redirect: "error" });
			if (answer.ok && (await answer.text()) !== waiting.dataset.while) return location.replace(location.pathname);
		} catch {
			// Try again next time.
		}
		setTimeout(ask, 2000);
	};
	setTimeout(ask, 2000);
}
