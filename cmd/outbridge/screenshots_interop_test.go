//go:build interop

package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// maxPicture is the most that a picture of the README may be.
const maxPicture = 150 << 10

// TestScreenshots takes the README's pictures of the demo. `make screenshots` keeps them in docs/images; otherwise it only
// shows that they can be taken, and that the README has each of them.
func TestScreenshots(t *testing.T) {
	t.Parallel()
	to := os.Getenv("OUTBRIDGE_IMAGES")
	if to == "" {
		to = t.TempDir()
	}
	readme := read(t, "../../README.md")
	p := start(t, t.TempDir(), "demo", "--listen", "127.0.0.1:0")
	url := p.waitFor(`^Web pages: (\S+)/$`)[0]
	password := p.waitFor(`^Password:  (\S+)$`)[0]
	b := newBrowser(t)
	desktop, phone := chromedp.EmulateViewport(1280, 800), chromedp.EmulateViewport(390, 780, chromedp.EmulateMobile)
	b.do(desktop)
	b.open(url + "/sign-in")
	b.fill("password", password)
	b.press("Sign in")
	b.shows("demo")
	for _, shot := range []struct {
		name, path, shows, scheme string
		window                    chromedp.Action[chromedp.Void]
	}{
		{"accounts", "/accounts/demo", "In sync with Outlook", "light", desktop},
		{"calendar", "/calendars/demo?view=week", "Stand-up", "light", desktop},
		{"connect", "/accounts/demo/connect", "Thunderbird", "light", desktop},
		{"calendar-phone", "/calendars/demo", "Stand-up", "dark", phone},
		{"connect-phone", "/accounts/demo/connect", "Thunderbird", "dark", phone},
	} {
		b.do(shot.window, prefer(shot.scheme))
		b.open(url + shot.path)
		b.shows(shot.shows)
		quality := int64(80)
		var data []byte
		b.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
			taken, err := cdp.Call(ctx, target, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatWebp, Quality: &quality})
			data = taken.Data
			return err
		}))
		if len(data) == 0 || len(data) > maxPicture {
			t.Errorf("%s has %d bytes", shot.name, len(data))
		}
		if err := os.WriteFile(filepath.Join(to, shot.name+".webp"), data, 0o644); err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`docs/images/` + shot.name + `\.webp`).MatchString(readme) {
			t.Errorf("the README does not show %s", shot.name)
		}
	}
	p.end(syscall.SIGINT)
}
