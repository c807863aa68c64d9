//go:build interop

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is a headless Chromium with one tab, and a person's few verbs.
type browser struct {
	t     *testing.T
	ctx   context.Context
	axe   string // the script of axe-core
	shots string // folder for pictures of every page; "": none are taken
	seen  int
}

// sizes are the windows that pages are looked at in.
var sizes = []struct {
	name          string
	width, height int64
}{{"desktop", 1280, 900}, {"phone", 360, 740}}

func newBrowser(t *testing.T, more ...chromedp.ExecAllocatorOption) *browser {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("this test needs chromium: apt-get install chromium")
	}
	options := append([]chromedp.ExecAllocatorOption{}, chromedp.DefaultExecAllocatorOptions[:]...)
	options = append(options, chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()), chromedp.Flag("headless", "new"),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), append(options, more...)...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx, axe: installAxe(t), shots: os.Getenv("OUTBRIDGE_SCREENSHOTS")}
	err = chromedp.Listen(ctx, func(ev any) {
		switch ev := ev.(type) {
		case *log.EventEntryAdded: // a broken content policy, a request that fails
			if ev.Entry.Level == log.EntryLevelError && !strings.Contains(ev.Entry.Text, "status of 4") {
				t.Errorf("the browser complains: %s %s", ev.Entry.Text, ev.Entry.URL)
			}
		case *runtime.EventExceptionThrown:
			t.Errorf("a script fails: %s", ev.ExceptionDetails.Text)
		case *network.EventRequestWillBeSent:
			if u := ev.Request.URL; !strings.Contains(u, "//127.0.0.1:") && !strings.Contains(u, "//localhost:") && !strings.HasPrefix(u, "data:") {
				t.Errorf("a page asks somebody else: %s", u)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// installAxe gets axe-core by npm, as the lock file names it.
func installAxe(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json"} {
		data, err := os.ReadFile(filepath.Join("testdata/axe", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	script, err := os.ReadFile(filepath.Join(dir, "node_modules/axe-core/axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// perform does one thing in the tab and returns what comes of it.
func perform[T any](b *browser, what chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithDeadline(b.ctx, patience(b.t))
	defer cancel()
	v, err := chromedp.Run(ctx, what)
	if err != nil {
		b.fail(err)
	}
	return v
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	perform(b, chromedp.Steps(steps...))
}

func (b *browser) fail(err error) {
	b.t.Helper()
	at, _ := chromedp.Run(b.ctx, chromedp.Location())
	text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
	b.t.Fatalf("%v\nat %s:\n%s", err, at, text)
}

func (b *browser) open(url string) { b.t.Helper(); b.do(chromedp.Navigate(url)) }

// press clicks the button or link whose text begins with label, and waits for the page that follows.
func (b *browser) press(label string) {
	b.t.Helper()
	found := eval[bool](b, fmt.Sprintf(`(() => {
		const is = e => e.checkVisibility() && ((e.ariaLabel || "").startsWith(%[1]q) || e.textContent.trim().startsWith(%[1]q));
		const e = [...document.querySelectorAll("button, a")].find(is);
		if (!e) return false;
		e.removeAttribute("target");
		window.pressed = true;
		e.click();
		return true; })()`, label))
	if !found {
		b.fail(fmt.Errorf("there is no %q to press", label))
	}
	b.until("the page after "+label, `!window.pressed`)
}

// reload loads the page once more, as a person does.
func (b *browser) reload() {
	b.t.Helper()
	eval[chromedp.Void](b, `window.pressed = true; location.reload()`)
	b.until("the page once more", `!window.pressed`)
}

func eval[T any](b *browser, script string, options ...chromedp.EvaluateOption) T {
	b.t.Helper()
	return perform(b, chromedp.Evaluate[T](script, options...))
}

// until waits for a condition, over changes of the page.
func (b *browser) until(what, condition string) {
	b.t.Helper()
	end := patience(b.t)
	waiting, stop := context.WithDeadline(b.ctx, end)
	defer stop()
	for ; ; time.Sleep(30 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(waiting, 2*time.Minute) // a question to a page that goes away may have no answer
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`!!document.body && document.readyState === "complete" && !!(`+condition+`)`))
		cancel()
		if ok {
			return
		}
		if time.Now().After(end) {
			b.fail(fmt.Errorf("%s: timed out (%v)", what, err))
		}
	}
}

// tap clicks the button or link whose text has label, where no other page follows.
func (b *browser) tap(label string) {
	b.t.Helper()
	found := eval[bool](b, fmt.Sprintf(`(() => {
		const e = [...document.querySelectorAll("button, a")].find(e => e.checkVisibility() && e.textContent.includes(%q));
		e?.click();
		return !!e; })()`, label))
	if !found {
		b.fail(fmt.Errorf("there is no %q to tap", label))
	}
}

// window gives the browser the size of that name.
func (b *browser) window(name string) {
	b.t.Helper()
	for _, size := range sizes {
		switch {
		case size.name != name:
		case name == "phone":
			b.do(chromedp.EmulateViewport(size.width, size.height, chromedp.EmulateMobile))
		default:
			b.do(chromedp.EmulateViewport(size.width, size.height))
		}
	}
}

// fill types into the field of that id.
func (b *browser) fill(id, text string) {
	b.t.Helper()
	eval[chromedp.Void](b, fmt.Sprintf("document.getElementById(%q).value = ''", id))
	b.do(chromedp.SendKeys(chromedp.ID(id), text))
}

// check ticks the box of that id; copy presses the button next to the field of that id.
func (b *browser) check(id string) { b.t.Helper(); b.do(chromedp.Click(chromedp.ID(id))) }

func (b *browser) copy(id string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS("[data-copy=" + id + "]")))
}

// text is what the page shows, value what the field of that id holds.
func (b *browser) text() string { b.t.Helper(); return eval[string](b, "document.body.innerText") }

func (b *browser) value(id string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf("document.getElementById(%q).value", id))
}

// read is the text of the element of that id.
func (b *browser) read(id string) string {
	b.t.Helper()
	return strings.TrimSpace(eval[string](b, fmt.Sprintf("document.getElementById(%q).innerText", id)))
}

// unfold opens the details of that id.
func (b *browser) unfold(id string) {
	b.t.Helper()
	eval[chromedp.Void](b, fmt.Sprintf("document.getElementById(%q).open = true", id))
}

func (b *browser) at() string { b.t.Helper(); return perform(b, chromedp.Location()) }

// shows waits until the page shows each of the texts.
func (b *browser) shows(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		b.until("the text "+text, fmt.Sprintf(`document.body.innerText.includes(%q)`, text))
	}
}

// setUp sets the administrator's password of a server that has just started, and returns the server's address.
func (b *browser) setUp(p *process) (url string) {
	b.t.Helper()
	found := p.waitFor(`open (\S+)/setup\?code=(\S+)$`)
	b.open(found[0] + "/setup")
	b.fill("code", found[1])
	b.fill("password", "correct horse battery")
	b.fill("repeat", "correct horse battery")
	b.press("Set password")
	return found[0]
}

// look examines the page in every size and scheme: axe-core finds nothing to complain of, nothing sticks out of the window,
// and where pictures are wanted one is taken.
func (b *browser) look(name string) {
	b.t.Helper()
	b.seen++
	for _, size := range sizes {
		for _, scheme := range []string{"light", "dark"} {
			b.do(chromedp.EmulateViewport(size.width, size.height), prefer(scheme))
			if size.name == "phone" {
				b.do(chromedp.EmulateViewport(size.width, size.height, chromedp.EmulateMobile))
			}
			eval[chromedp.Void](b, b.axe)
			for _, v := range eval[[]string](b, `axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations.map(v =>
				v.id + ": " + v.help + "; " + v.nodes.slice(0, 4).map(n => n.html + " " + n.failureSummary).join("; ")))`, chromedp.EvalAwaitPromise) {
				b.t.Errorf("%s, %s, %s: %s", name, size.name, scheme, v)
			}
			if over := eval[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
				b.t.Errorf("%s, %s: the page is %d pixels wider than the window", name, size.name, over)
			}
			if b.shots != "" {
				b.shoot(fmt.Sprintf("%02d-%s-%s-%s.png", b.seen, name, size.name, scheme))
			}
		}
	}
}

// prefer makes the browser one of a person who likes that colour scheme.
func prefer(scheme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	})
}

func (b *browser) shoot(file string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.shots, file), perform(b, chromedp.FullScreenshot(100)), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// unfoldAll opens all details of the page.
func (b *browser) unfoldAll() {
	b.t.Helper()
	eval[chromedp.Void](b, `document.querySelectorAll("details").forEach(e => e.open = true)`)
}
