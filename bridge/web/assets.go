package web

import (
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"outbridge/bridge"
	"outbridge/caldav/negotiate"
)

// The calendar of the pages is built of npm packages, as the lock file in calendar names them.
//
//go:generate npm --prefix calendar run build

//go:embed pages
var files embed.FS

// asset is a file that pages refer to, at a URL that changes with its content.
type asset struct {
	kind string
	data []byte
	tag  string
}

func loadAssets() map[string]asset {
	list := map[string]asset{}
	for name, kind := range map[string]string{"style.css": "text/css; charset=utf-8", "calendar.css": "text/css; charset=utf-8",
		"pages.js": "text/javascript; charset=utf-8", "calendar.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"} {
		data, err := files.ReadFile("pages/" + name)
		if err != nil {
			panic(err) // it is embedded
		}
		sum := sha256.Sum256(data)
		list["/"+name] = asset{kind, data, hex.EncodeToString(sum[:8])}
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
	_, _ = w.Write(a.data) // an error here means that the client has gone
}

// templates are the pages in one language. Each is parsed, with the layout and the templates that pages share, when it is first shown: all
// of them in each language would be a third of what an idle server has in memory.
type templates struct {
	mu    sync.Mutex
	base  *template.Template // nil: no page has been shown yet
	pages map[string]*template.Template
}

func (h *Handler) loadTemplates() map[*Language]*templates {
	all := map[*Language]*templates{}
	for _, l := range Languages() {
		all[l] = &templates{pages: map[string]*template.Template{}}
	}
	return all
}

// template is that of a page in a language.
func (h *Handler) template(l *Language, name string) (*template.Template, error) {
	in := h.templates[l]
	in.mu.Lock()
	defer in.mu.Unlock()
	if t := in.pages[name]; t != nil {
		return t, nil
	}
	if in.base == nil {
		base, err := template.New("").Funcs(h.funcs(l)).ParseFS(files, "pages/layout.html", "pages/parts.html", "pages/agenda.html")
		if err != nil {
			return nil, err
		}
		in.base = base
	}
	t, err := in.base.Clone()
	if err != nil {
		return nil, err
	}
	if t, err = t.ParseFS(files, "pages/"+name+".html"); err != nil {
		return nil, err
	}
	in.pages[name] = t
	return t, nil
}

// funcs are those of the templates in a language.
func (h *Handler) funcs(l *Language) template.FuncMap {
	funcs := template.FuncMap{
		"programOf":  func(agent string) string { return l.Text(programOf(agent)) },
		"usedAgo":    func(t time.Time) string { return l.Text(usedAgo(h.now(), t)) },
		"writeState": writeState,
		"operation":  func(name string) string { return l.Text(cmp.Or(operations[name], Plain(name))) },
		"ago":        func(t time.Time) string { return l.Text(ago(h.now(), t)) },
		"in":         func(t time.Time) string { return l.Text(until(h.now(), t)) },
		"clock":      l.clock,
		"date":       func(t time.Time) string { return l.Time(t, "2 January 2006") },
		"summary":    l.summary,
		"change":     func(what string) string { return l.Text(cmp.Or(changeWords[what], Plain(what))) },
		"targetName": func(t bridge.NoticeTarget) string { return l.Text(targetName(t)) },
		"failure":    func(f bridge.NoticeFailure) string { return l.Text(failureText(f)) },
		"asset":      func(name string) string { return h.base() + name + "?" + h.assets[name].tag },
		"qr":         qrSVG,
		"base":       h.base,
		"address":    h.address,
		"path":       url.PathEscape,
		"host":       func() string { return strings.TrimPrefix(strings.TrimPrefix(h.origin(), "https://"), "http://") },
		"languageName": func(tag string) string {
			if of, ok := FindLanguage(tag); ok && tag != "" {
				return of.Name
			}
			return ""
		},
		"fault":   l.faultText,
		"known":   l.Known,
		"value":   l.value,
		"warning": func(f FeedLinks) string { return l.Text(f.warning()) },
		"code":    code,
		"dict":    dict,
		"link":    link,
		"href":    href,
		"pick":    pick,
	}
	maps.Copy(funcs, l.funcs())
	return funcs
}

// address is public_url without a slash at its end; origin and base are its two parts.
func (h *Handler) address() string { return strings.TrimSuffix(h.PublicURL, "/") }

func (h *Handler) origin() string {
	origin, _ := splitAddress(h.PublicURL)
	return origin
}

// base is the path before all paths of the bridge, as browsers see them; "" for none. Templates write it before each link.
func (h *Handler) base() string {
	_, base := splitAddress(h.PublicURL)
	return base
}
