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
		button.firstChild.data = copied ? button.dataset.copied : button.dataset.press;
	});
}
// What is in progress is shown as it comes; when its state changes, the page is loaded again.
const live = document.querySelector("[data-live]");
if (live) {
	const lines = live.querySelector("[data-lines]");
	// What was just done is said still: a first sync may be over before anybody has read that it began.
	const again = () => location.replace(location.pathname + location.search);
	const source = new EventSource(live.dataset.live);
	source.onmessage = (event) => {
		const now = JSON.parse(event.data);
		if (now.state !== live.dataset.while) {
			source.close();
			return again();
		}
		lines.replaceChildren(...now.lines.map((line) => {
			const item = document.createElement("li");
			const name = document.createElement("strong");
			const text = document.createElement("span");
			name.textContent = line.calendar;
			text.textContent = line.text;
			item.append(name, " ", text);
			if (line.total > 0) {
				const bar = document.createElement("progress");
				bar.max = line.total;
				bar.value = line.done;
				bar.setAttribute("aria-label", line.calendar);
				item.append(" ", bar);
			}
			return item;
		}));
	};
	// It connects again by itself, unless the answer was a refusal.
	source.onerror = () => {
		if (source.readyState === EventSource.CLOSED) setTimeout(again, 5000);
	};
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
