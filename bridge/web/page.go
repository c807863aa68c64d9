package web

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"

	"outbridge/bridge"
)

// The pages work without scripts: one copies text and waits, one draws the calendar. Nothing is loaded from other hosts.
const contentPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

const maxForm = 64 << 10

// page is the data of the layout; Data is that of the page itself.
type page struct {
	Title   Text
	Account *Account // its tabs are shown; nil: none
	Tab     string   // the current tab
	Notice  Text
	Trouble *Problem
	Script  bool
	Draws   bool // with the script of the calendar
	Again   bool // without scripts, it is loaded again every few seconds
	Data    any

	Version   string
	SignedIn  bool
	Admin     bool   // who is signed in is an administrator
	Who       string // is signed in, but for the administrator by password
	Over      bool   // the account's name stands over the title
	Languages []languageLink
	Fresh     *freshness // of the account's calendars; nil: the page says nothing of it, or says it itself
}

// visit is one request of a page.
type visit struct {
	h       *Handler
	w       http.ResponseWriter
	r       *http.Request
	lang    *Language
	session bridge.Session
	person  bridge.Person // who is signed in, but for the administrator by password
	status  int           // of the response; 0: 200
	turn    func()        // gives back the turn that it has as a page that is being made, once
	back    string        // where the Back button of an error page leads; "": the front page
}

func (v *visit) signedIn() bool { return v.session.ID != 0 }

// anybody serves a page to everybody; route.serve decides who may have it.
func (h *Handler) anybody(serve func(*visit) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("Content-Security-Policy", contentPolicy)
		head.Set("X-Content-Type-Options", "nosniff")
		// Not no-referrer, which hides the origin of our own forms too: the check for forged requests needs it.
		head.Set("Referrer-Policy", "same-origin")
		head.Set("Cross-Origin-Opener-Policy", "same-origin")
		head.Set("Cache-Control", "no-store")
		head.Set("Vary", "Accept-Language, Cookie")
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		v := &visit{h: h, w: w, r: r}
		v.chooseLanguage()
		if !h.ourHost(r) {
			v.fail(http.StatusMisdirectedRequest, &Problem{With("{host} is not the address of this bridge.", r.Host),
				With("Open {address}, or set public_url in the configuration to the address that you use.", h.address())})
			return
		}
		if err := h.crossOrigin.Check(r); err != nil {
			v.fail(http.StatusForbidden, &Problem{"The request did not come from a page of this bridge.", "Go back, reload the page, and try again."})
			return
		}
		// A form that can only be read in part is refused: missing fields would be taken for empty ones.
		err := readForm(r)
		if err == nil {
			back, ok := h.pageTurn(r.Context())
			if !ok {
				unavailable(w, "Too much is asked for at once.")
				return
			}
			v.turn = sync.OnceFunc(back)
			defer v.turn()
			err = v.readSession()
		}
		if err == nil {
			err = serve(v)
		}
		if err == nil || r.Context().Err() != nil {
			return
		}
		var tooLarge *http.MaxBytesError
		if p, ok := problemOf(err); ok {
			v.fail(http.StatusBadRequest, p)
		} else if errors.Is(err, bridge.ErrNotFound) {
			v.fail(http.StatusNotFound, &Problem{"Nothing is at this address.", "What it showed may have been removed, or the address is not complete."})
		} else if errors.As(err, &tooLarge) {
			v.fail(http.StatusRequestEntityTooLarge, &Problem{"The form is too large.", ""})
		} else {
			v.trouble(err)
			status := http.StatusInternalServerError
			if errors.Is(err, bridge.ErrBusy) { // the database is away for a while
				status = http.StatusServiceUnavailable
				v.w.Header().Set("Retry-After", "10")
			}
			v.fail(status, &Problem{"Something went wrong.", "Try again. The log has the details."})
		}
	}
}

// trouble logs what the administrator can do nothing about.
func (v *visit) trouble(err error) {
	secrets := secretsOf(v.r)
	v.h.log().Error("page", "path", without(secrets, v.r.URL.Path), "err", without(secrets, err.Error()))
}

func readForm(r *http.Request) error {
	if r.Method != http.MethodPost {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return err
	}
	if err == nil && tooManyParameters(string(body)) {
		return &http.MaxBytesError{Limit: maxForm}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if err == nil {
		err = r.ParseForm()
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && kind == "multipart/form-data" {
		err = r.ParseMultipartForm(maxForm) // all of which is in memory
	}
	if err == nil {
		return nil
	}
	return &Problem{"The form could not be read.", "Go back, reload the page, and try again."}
}

// ourHost protects a bridge that only this machine can reach from DNS rebinding, where another site points its own name
// here: the Host must be an IP address, localhost, or that of public_url.
func (h *Handler) ourHost(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return true
	}
	at, err := netip.ParseAddrPort(local.String())
	if !atSocket(r) && (err != nil || !at.Addr().Unmap().IsLoopback()) {
		return true
	}
	host := hostName(r.Host)
	u, err := url.Parse(h.PublicURL)
	_, numeric := netip.ParseAddr(host)
	return numeric == nil || host == "localhost" || err == nil && host == strings.ToLower(u.Hostname())
}

func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}

func (v *visit) render(name string, p page) error {
	t, err := v.h.template(v.lang, name)
	if err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	p.Version, p.SignedIn, p.Admin, p.Who = v.h.Version, v.signedIn(), v.session.Role == bridge.RoleAdministrator, v.person.Name
	p.Over, p.Languages = p.Account != nil && v.lang.Text(p.Title) != p.Account.Name, v.languageLinks()
	if p.Notice == "" {
		p.Notice = notices[v.r.URL.Query().Get("done")]
	}
	if p.Account != nil && p.Tab != "" && p.Tab != "overview" {
		f, err := v.h.freshness(v.r.Context(), *p.Account, v.r.PathValue("calendar"))
		if err != nil {
			return err
		}
		p.Fresh = &f
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "layout", p); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.Header().Set("Content-Language", v.lang.Tag)
	if v.status != 0 {
		v.w.WriteHeader(v.status)
	}
	_, _ = v.w.Write(b.Bytes()) // an error here means that the client has gone
	return nil
}

// fail answers with a page that says what went wrong.
func (v *visit) fail(status int, p *Problem) {
	v.status = status
	var title Text = "That did not work"
	if status == http.StatusNotFound {
		title = "There is no such page"
	}
	if err := v.render("problem", page{Title: title, Trouble: p, Data: cmp.Or(v.back, "/")}); err != nil {
		v.trouble(err)
	}
}

// question asks before something is done that cannot be undone.
type question struct {
	Title, Button Text
	Text          []Text
	Path          string // of the form that does it
	Back          string
}

func (v *visit) confirm(a Account, q question) error {
	return v.render("confirm", page{Title: q.Title, Account: &a, Data: q})
}

// redirect sends the browser to another page, by its path without the base, or to a whole address.
func (v *visit) redirect(to string) error {
	if strings.HasPrefix(to, "/") {
		to = v.h.base() + to
	}
	v.w.Header().Set("Location", to)
	v.w.WriteHeader(http.StatusSeeOther)
	return nil
}

// notices are what a page says was just done, by the value of ?done= in its URL.
var notices = map[string]Text{
	"signed-in": "Signed in. The first sync has started.",
	"synced":    "A sync has started.",
	"removed":   "The account and everything stored for it have been removed.",
	"app":       "App registration saved.",
	"password":  "Password changed. Other browsers have been signed out.",
	"session":   "That browser has been signed out.",
	"revoked":   "App password revoked. Devices that used it can no longer connect.",
	"target":    "Saved. Try it out: send a test message.",
	"untarget":  "Removed. Nothing is sent there any more.",
	"tried":     "The test message was sent. Did it arrive?",
	"feed":      "Feed changed. Its address is still the same.",
	"policy":    "Saved.",
	"options":   "Saved. It is in use from now on.",
	"restart":   "Saved. Restart the bridge for all of it to take effect.",
	"shared":    "Saved. Sign in again on the Overview page, so that the bridge may read other people's calendars.",
	"resumed":   "Changes go on.",
	"invited":   "The invitation has ended. Its link no longer works.",
	"person":    "The person was removed, and signed out everywhere.",
	"connected": "Your calendar is connected. The first sync has started.",
	"unfed":     "Feed removed. Its address no longer works.",
}
