package graphsim

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Title}}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:28rem;margin:4rem auto;padding:0 1rem}button,input{font:inherit;padding:.4rem .8rem;margin:.2rem 0}</style></head>
<body><h1>{{.Title}}</h1>{{with .Text}}<p>{{.}}</p>{{end}}
{{if .Action}}<form method="{{.Method}}" action="{{.Action}}">
{{range $name, $values := .Hidden}}{{range $values}}<input type="hidden" name="{{$name}}" value="{{.}}">{{end}}{{end}}
{{if .AskCode}}<p><label>Code <input name="user_code" value="{{.Code}}" autocomplete="off" autofocus></label></p>{{end}}
{{range .Users}}<p><button name="account" value="{{.}}">Sign in as {{.}}</button></p>{{end}}
<p><button name="account" value="">Refuse</button></p></form>{{end}}
<p><small>A simulated sign-in: no password is asked, and nothing leaves this server.</small></p></body></html>
`))

type pageData struct {
	Title, Text, Method, Action, Code string
	AskCode                           bool
	Hidden                            url.Values
	Users                             []string
}

func htmlPage(status int, data pageData) response {
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, data); err != nil {
		return response{status: http.StatusInternalServerError, body: []byte(err.Error())}
	}
	return response{status: status, body: b.Bytes()}.with("Content-Type", "text/html; charset=utf-8")
}

func (s *Server) users() []string {
	var all []string
	for _, m := range s.mailboxes {
		all = append(all, m.address)
	}
	return all
}

// devicePage is /devicelogin: GET shows the form (with ?user_code=… filled in), POST decides. An empty account
// refuses the sign-in.
func (s *Server) devicePage(r *http.Request) response {
	r.Body = http.MaxBytesReader(nil, r.Body, 1<<16)
	if err := r.ParseForm(); err != nil {
		return htmlPage(http.StatusBadRequest, pageData{Title: "Bad request"})
	}
	code := r.Form.Get("user_code")
	if r.Method != http.MethodPost {
		s.mu.Lock()
		defer s.mu.Unlock()
		return htmlPage(200, pageData{Title: "Enter code", Text: "Enter the code displayed on your app or device.",
			Method: "post", Action: "/devicelogin", AskCode: true, Code: code, Users: s.users()})
	}
	var err error
	if account := r.PostForm.Get("account"); account == "" {
		err = s.DeclineDevice(code)
	} else {
		s.mu.Lock()
		m := s.mailbox(account)
		s.mu.Unlock()
		if m == nil {
			return htmlPage(http.StatusBadRequest, pageData{Title: "No such account"})
		}
		err = s.ApproveDevice(code, m)
	}
	if err != nil {
		return htmlPage(http.StatusBadRequest, pageData{Title: "That code didn't work", Text: "Check the code and try again."})
	}
	return htmlPage(200, pageData{Title: "Done", Text: "You can close this window."})
}

// authorize is the start of the authorization code flow: a page to choose the account on, or at once the redirect
// where AutoApprove is set. The page comes back here with account=….
func (s *Server) authorize(r *http.Request, tenant string) response {
	if a, ok := s.checkClient(r, tenant); !ok {
		return htmlPage(http.StatusBadRequest, pageData{Title: "Sorry, but we're having trouble signing you in.",
			Text: fmt.Sprint(a.body.(map[string]any)["error_description"])})
	}
	form := r.Form
	target, err := url.Parse(form.Get("redirect_uri"))
	if err != nil || !s.knownRedirect(target) {
		return htmlPage(http.StatusBadRequest, pageData{Title: "Sorry, but we're having trouble signing you in.",
			Text: fmt.Sprintf("AADSTS50011: The redirect URI '%s' specified in the request does not match the redirect URIs configured for the application '%s'.", form.Get("redirect_uri"), form.Get("client_id"))})
	}
	refuse := func(name, text string) response {
		return redirectWith(target, url.Values{"error": {name}, "error_description": {text}, "state": {form.Get("state")}})
	}
	switch {
	case form.Get("response_type") != "code":
		return refuse("unsupported_response_type", "AADSTS700054: response_type must be 'code'.")
	case form.Get("scope") == "":
		return refuse("invalid_request", "AADSTS900144: The request must contain the following parameter: 'scope'.")
	case form.Get("response_mode") != "" && form.Get("response_mode") != "query":
		return refuse("invalid_request", "AADSTS900144: response_mode must be 'query' here.")
	case form.Get("code_challenge") == "" && !s.confidential():
		return refuse("invalid_request", "AADSTS9002325: Proof Key for Code Exchange is required for public clients.")
	case form.Get("code_challenge") != "" && form.Get("code_challenge_method") != "S256":
		return refuse("invalid_request", "AADSTS501491: code_challenge_method must be S256.")
	}
	m := s.mailbox(form.Get("account"))
	if s.AutoApprove && m == nil {
		if m = s.mailbox(form.Get("login_hint")); m == nil && len(s.mailboxes) > 0 {
			m = s.mailboxes[0]
		}
	}
	switch {
	case m != nil:
	case form.Get("prompt") == "none":
		return refuse("login_required", "AADSTS50058: A silent sign-in request was sent but no user is signed in.")
	case form.Has("account"):
		return refuse("access_denied", "AADSTS65004: User declined to consent to access the app.")
	default:
		hidden := url.Values{}
		for name, values := range form {
			hidden[name] = values
		}
		return htmlPage(200, pageData{Title: "Pick an account", Method: "get", Action: r.URL.Path, Hidden: hidden, Users: s.users()})
	}
	if needed := s.adminScope(form.Get("scope")); needed != "" {
		return refuse("access_denied", "AADSTS90094: Admin consent is required for the permissions requested by this application: "+needed+".")
	}
	code := "1.A" + rand.Text() + rand.Text()
	if s.login.codes == nil {
		s.login.codes = map[string]*authCode{}
	}
	for old, c := range s.login.codes {
		if s.now().Sub(c.expires) > codeLife {
			delete(s.login.codes, old)
		}
	}
	s.login.codes[code] = &authCode{mailbox: m, client: form.Get("client_id"), redirect: form.Get("redirect_uri"),
		scope: form.Get("scope"), challenge: form.Get("code_challenge"), nonce: form.Get("nonce"), expires: s.now().Add(codeLife)}
	return redirectWith(target, url.Values{"code": {code}, "state": {form.Get("state")}, "session_state": {guid(rand.Text())}})
}

// knownRedirect tells whether a sign-in may come back to an address.
func (s *Server) knownRedirect(target *url.URL) bool {
	ip := net.ParseIP(target.Hostname())
	local := target.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if s.RedirectURIs == nil {
		return target.Scheme == "https" && target.Host != "" || target.Scheme == "http" && local
	}
	anyPort := *target
	anyPort.Host, anyPort.Path = target.Hostname(), strings.TrimSuffix(target.Path, "/")
	return slices.ContainsFunc(s.RedirectURIs, func(known string) bool {
		return known == target.String() || local && strings.TrimSuffix(known, "/") == anyPort.String()
	})
}

// adminScope is the first of the scopes that an administrator has to allow, or "".
func (s *Server) adminScope(scope string) string {
	names, _ := scopeNames(scope)
	for _, name := range names {
		if slices.Contains(s.AdminScopes, name) {
			return name
		}
	}
	return ""
}
