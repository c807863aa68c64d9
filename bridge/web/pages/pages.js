// Copying needs a script, and so does waiting without reloading the page. All pages work without it.
"use strict";
for (const button of document.querySelectorAll("[data-copy]")) {
	button.hidden = false;
	button.addEventListener("click", async () => {
		// A field by its id, or else the text before the button.
		const field = button.dataset.copy ? document.getElementById(button.dataset.copy) : button.previousElementSibling;
		const text = field.value ?? field.textContent;
		if (field.select) field.select();
		else getSelection().selectAllChildren(field);
		// Over plain http there is no clipboard API, only execCommand.
		const copied = await navigator.clipboard?.writeText(text).then(() => true, () => false) || document.execCommand("copy");
		button.firstChild.data = copied ? "Copied" : "Press Ctrl-C";
	});
}
// If the bridge does not know the time zone of the mailbox, a calendar is shown in that of the browser.
const zone = document.querySelector("input[name=zone]");
const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && !zone.value && here && !new URLSearchParams(location.search).has("zone")) {
	const to = new URL(location.href);
	to.searchParams.set("zone", here);
	location.replace(to);
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
