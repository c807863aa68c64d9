package web

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"time"

	"outbridge/bridge"
	"outbridge/caldav/negotiate"
)

//go:embed pages style.css view.html view.css
var files embed.FS

// The pages work without script; what there is only copies and waits. Nothing comes from elsewhere.
const contentPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

const maxForm = 64 << 10

// asset is a file that pages refer to, by an address that changes with its octets.
type asset struct {
	kind string
	data []byte
	tag  string
}

func loadAssets() map[string]asset {
	list := map[string]asset{}
	for name, kind := range map[string]string{"style.css": "text/css; charset=utf-8", "view.css": "text/css; charset=utf-8",
		"pages/pages.js": "text/javascript; charset=utf-8", "pages/icon.svg": "image/svg+xml"} {
		data, err := files.ReadFile(name)
		if err != nil {
			panic(err) // it is embedded
		}
		sum := sha256.Sum256(data)
		list["/"+path.Base(name)] = asset{kind, data, hex.EncodeToString(sum[:8])}
	}
	return list
}

func (h *Handler) serveAsset(w http.ResponseWriter, r *http.Request) {
	a := h.assets[r.URL.Path]
	head := w.Header()
	head.Set("Content-Type", a.kind)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("ETag", `"`+a.tag+`"`)
	head.Set("Cache-Control", "no-cache")
	if r.URL.RawQuery == a.tag {
		head.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if status := (negotiate.State{ETag: a.tag}).Check(r); status != http.StatusOK {
		w.WriteHeader(status)
		return
	}
	head.Set("Content-Length", fmt.Sprint(len(a.data)))
	_, _ = w.Write(a.data) // an error here is a reader who has gone
}

// loadTemplates parses each page together with the layout and the parts that pages share.
func (h *Handler) loadTemplates() map[string]*template.Template {
	base := template.Must(template.New("").Funcs(template.FuncMap{
		"ago":    func(t time.Time) string { return ago(h.now(), t) },
		"in":     func(t time.Time) string { return until(h.now(), t) },
		"clock":  clock,
		"count":  count,
		"asset":  func(name string) string { return name + "?" + h.assets[name].tag },
		"qr":     qrSVG,
		"origin": h.origin,
		"path":   url.PathEscape,
		"host":   func() string { return strings.TrimPrefix(strings.TrimPrefix(h.origin(), "https://"), "http://") },
		"fault":  faultText,
		"dict":   dict,
		"link":   link,
		"pick":   pick,
	}).ParseFS(files, "pages/layout.html", "pages/parts.html", "view.html"))
	all := map[string]*template.Template{}
	names, err := fs.Glob(files, "pages/*.html")
	if err != nil {
		panic(err)
	}
	for _, name := range names {
		t := template.Must(template.Must(base.Clone()).ParseFS(files, name))
		all[strings.TrimSuffix(path.Base(name), ".html")] = t
	}
	return all
}

func (h *Handler) origin() string { return strings.TrimSuffix(h.PublicURL, "/") }

// page is what the layout shows; Data is what the page itself does.
type page struct {
	Title   string
	Account *Account // shows its tabs
	Tab     string   // the one that is open
	Notice  string
	Trouble *Problem
	Script  bool
	Data    any

	Version  string
	SignedIn bool
}

// visit is one request of a page.
type visit struct {
	h       *Handler
	w       http.ResponseWriter
	r       *http.Request
	session bridge.Session
	status  int    // of the answer; 0: 200
	back    string // where to go on after a page that says what is the matter; "": the front page
}

func (v *visit) signedIn() bool { return v.session.ID != 0 }

// anybody serves a page that needs no sign-in, admin one that does.
func (h *Handler) anybody(serve func(*visit) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("Content-Security-Policy", contentPolicy)
		head.Set("X-Content-Type-Options", "nosniff")
		// Not no-referrer: it would hide the origin of our own forms too, on which the check against forged ones rests.
		head.Set("Referrer-Policy", "same-origin")
		head.Set("Cross-Origin-Opener-Policy", "same-origin")
		head.Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		v := &visit{h: h, w: w, r: r}
		if !h.ourHost(r) {
			v.fail(http.StatusMisdirectedRequest, &Problem{"This bridge does not go by the name " + r.Host + ".",
				"Open it at " + h.origin() + ", or set public_url in the configuration to the address that you use."})
			return
		}
		if err := h.crossOrigin.Check(r); err != nil {
			v.fail(http.StatusForbidden, &Problem{"The request does not come from a page of this bridge.", "Go back, load the page anew, and try again."})
			return
		}
		// A form that cannot be read wholly counts for nothing: what it lacks would be taken for an empty choice.
		err := readForm(r)
		if err == nil {
			back, ok := h.pageTurn(r.Context())
			if !ok {
				unavailable(w, "Too much is asked for at once.")
				return
			}
			defer back()
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
			v.fail(http.StatusNotFound, &Problem{"There is no such page.", "It may have been removed meanwhile."})
		} else if errors.As(err, &tooLarge) {
			v.fail(http.StatusRequestEntityTooLarge, &Problem{"The form is too large.", ""})
		} else {
			h.log().Error("page", "path", r.URL.Path, "err", err)
			v.fail(http.StatusInternalServerError, &Problem{"Something went wrong here.", "The log says what. Try again."})
		}
	}
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
	if err == nil {
		return nil
	}
	return &Problem{"The form cannot be read.", "Go back, load the page anew, and try again."}
}

func (h *Handler) admin(serve func(*visit) error) http.HandlerFunc {
	return h.anybody(func(v *visit) error {
		if v.signedIn() {
			return serve(v)
		}
		if v.r.Method != http.MethodGet && v.r.Method != http.MethodHead {
			return v.redirect("/sign-in")
		}
		return v.redirect("/sign-in?next=" + url.QueryEscape(v.r.URL.RequestURI()))
	})
}

// ourHost guards a bridge that only this machine can reach against pages elsewhere that have their own name point here (DNS
// rebinding): it is addressed by number, as localhost, or by public_url.
func (h *Handler) ourHost(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return true
	}
	at, err := netip.ParseAddrPort(local.String())
	if err != nil || !at.Addr().Unmap().IsLoopback() {
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
	t, ok := v.h.templates[name]
	if !ok {
		return fmt.Errorf("there is no page %q", name)
	}
	p.Version, p.SignedIn = v.h.Version, v.signedIn()
	if p.Notice == "" {
		p.Notice = notices[v.r.URL.Query().Get("done")]
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "layout", p); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if v.status != 0 {
		v.w.WriteHeader(v.status)
	}
	_, _ = v.w.Write(b.Bytes()) // an error here is a reader who has gone
	return nil
}

// fail answers with a page that says what is the matter.
func (v *visit) fail(status int, p *Problem) {
	v.status = status
	if err := v.render("problem", page{Title: "That did not work", Trouble: p, Data: cmp.Or(v.back, "/")}); err != nil {
		v.h.log().Error("page", "path", v.r.URL.Path, "err", err)
	}
}

// redirect goes on to a page of ours.
func (v *visit) redirect(to string) error {
	v.w.Header().Set("Location", to)
	v.w.WriteHeader(http.StatusSeeOther)
	return nil
}

// notices are what a page may say has been done before it was shown, by the name in its address.
var notices = map[string]string{
	"signed-in": "Signed in. The first round is on its way.",
	"synced":    "A round has begun.",
	"removed":   "The account and all that was stored of it are removed.",
	"app":       "The app registration is saved.",
	"password":  "The new password is set. Other browsers are signed out.",
	"session":   "That browser is signed out.",
	"revoked":   "The app password is revoked. Whatever used it cannot read any more.",
	"feed":      "The feed is changed. Its address is the same.",
	"unfed":     "The feed is removed. Its address does not work any more.",
}

// link is an address of ours for a calendar program, whose scheme html/template does not know.
func link(address string) template.URL {
	switch scheme, _, _ := strings.Cut(address, ":"); scheme {
	case "webcal", "webcals", "davx5", "caldav", "caldavs", "http", "https":
		return template.URL(address)
	}
	return "#"
}

// dict makes a map of names and values, for parts that take several.
func dict(pairs ...any) (map[string]any, error) {
	m := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("a name is %T", pairs[i])
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

// option is one of a select element.
type option struct {
	Value, Text string
	Chosen      bool
}

// pick makes options of values and texts.
func pick(chosen string, pairs ...string) (list []option) {
	for i := 0; i+1 < len(pairs); i += 2 {
		list = append(list, option{pairs[i], pairs[i+1], pairs[i] == chosen})
	}
	return list
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func ago(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	if now.Sub(t) < 5*time.Second {
		return "just now"
	}
	return inWords(now.Sub(t)) + " ago"
}

func until(now, t time.Time) string {
	if t.IsZero() || !t.After(now) {
		return "any moment"
	}
	return "in " + inWords(t.Sub(now))
}

// inWords is a length of time, in the one unit that a person would say.
func inWords(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return count(int(d.Seconds()), "second", "seconds")
	case d < 2*time.Hour:
		return count(int(d.Minutes()), "minute", "minutes")
	case d < 48*time.Hour:
		return count(int(d.Hours()), "hour", "hours")
	}
	return count(int(d.Hours()/24), "day", "days")
}

// clock is an instant in the zone of this machine, as an HTML time element.
func clock(t time.Time) template.HTML {
	if t.IsZero() {
		return "never"
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s">%s</time>`, t.UTC().Format(time.RFC3339), t.Local().Format("2 Jan 2006, 15:04")))
}
