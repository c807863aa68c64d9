package web

import (
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"path"
	"strings"
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

// loadTemplates parses each page together with the layout and the templates that pages share, for each language.
func (h *Handler) loadTemplates() map[*Language]map[string]*template.Template {
	all := map[*Language]map[string]*template.Template{}
	for _, l := range Languages() {
		all[l] = h.templatesIn(l)
	}
	return all
}

func (h *Handler) templatesIn(l *Language) map[string]*template.Template {
	base := template.Must(template.New("").Funcs(h.funcs(l)).ParseFS(files, "pages/layout.html", "pages/parts.html", "pages/agenda.html"))
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
