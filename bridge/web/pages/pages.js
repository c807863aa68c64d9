// Copying needs a script, and so does waiting without loading the page again and again. All pages work without.
"use strict";
for (const button of document.querySelectorAll("[data-copy]")) {
	button.hidden = false;
	button.addEventListener("click", async () => {
		const field = document.getElementById(button.dataset.copy);
		field.select();
		// Over plain http there is no clipboard, only the old way.
		const copied = await navigator.clipboard?.writeText(field.value).then(() => true, () => false) || document.execCommand("copy");
		button.firstChild.data = copied ? "Copied" : "Press Ctrl-C";
	});
}
// Where the bridge does not know the mailbox's time zone, a calendar is shown in the one that is looked at from.
const zone = document.querySelector("input[name=zone]");
const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && !zone.value && here && !new URLSearchParams(location.search).has("zone")) {
	const to = new URL(location.href);
	to.searchParams.set("zone", here);
	location.replace(to);
}
// What is under way is asked for until it is something else; then the page is loaded anew.
const waiting = document.querySelector("[data-poll]");
if (waiting) {
	const ask = async () => {
		try {
			const answer = await fetch(waiting.dataset.poll, { redirect: "error" });
			if (answer.ok && (await answer.text()) !== waiting.dataset.while) return location.replace(location.pathname);
		} catch {
			// The next time may do better.
		}
		setTimeout(ask, 2000);
	};
	setTimeout(ask, 2000);
}
