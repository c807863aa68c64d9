package web

import (
	"net"
	"net/url"
	"strconv"
	"strings"
)

// noticeForm is what the settings page asks for to send notifications somewhere.
type noticeForm struct {
	Kind string // "mail", "ntfy", "webhook" or "url"

	Server, Port, User, From, To string // of mail
	NtfyServer, Topic            string
	Hook                         string
	Address                      string // as Shoutrrr writes it

	password, token string // which no page shows
}

func noticeFormOf(form url.Values) noticeForm {
	get := func(key string) string { return strings.TrimSpace(form.Get(key)) }
	return noticeForm{Kind: get("kind"), Server: get("server"), Port: get("port"), User: get("user"), From: get("from"), To: get("to"), password: form.Get("mail-password"),
		NtfyServer: get("ntfy-server"), Topic: get("topic"), token: get("token"), Hook: get("hook"), Address: get("address")}
}

// shown is the form as it is filled in when it comes back: without what is secret, or may be.
func (f noticeForm) shown() noticeForm {
	f.password, f.token, f.Hook, f.Address, f.Topic = "", "", "", "", ""
	if f.Kind == "" {
		f.Kind = "mail"
	}
	return f
}

// url is the address that the form comes to, as Shoutrrr takes it.
func (f noticeForm) url() (string, *Problem) {
	switch f.Kind {
	case "mail":
		return f.mail()
	case "ntfy":
		return f.ntfy()
	case "webhook":
		u, err := url.Parse(f.Hook)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			return "", &Problem{Sentence: "This is no address of a webhook.", Action: "Write it like https://example.com/hook."}
		}
		return f.Hook, nil
	}
	return f.Address, nil
}

func (f noticeForm) mail() (string, *Problem) {
	host, port := f.Server, f.Port
	if port == "" {
		port = "587"
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || host == "" || strings.ContainsAny(host, "/@:?# ") {
		return "", &Problem{Sentence: "The mail server is missing, or is none.", Action: "Write its name, like mail.example.com, and its port, like 587."}
	}
	to := strings.FieldsFunc(f.To, func(c rune) bool { return c == ',' || c == ';' || c == ' ' })
	for _, address := range append([]string{f.From}, to...) {
		if local, domain, ok := strings.Cut(address, "@"); !ok || local == "" || domain == "" || strings.ContainsAny(address, "<>\"\r\n") {
			return "", &Problem{Sentence: "The sender or a recipient is missing, or is no mail address.", Action: "Write it like name@example.com; several recipients with commas."}
		}
	}
	if len(to) == 0 {
		return "", &Problem{Sentence: "The sender or a recipient is missing, or is no mail address.", Action: "Write it like name@example.com; several recipients with commas."}
	}
	u := url.URL{Scheme: "smtp", Host: net.JoinHostPort(host, port), Path: "/"}
	query := url.Values{"from": {f.From}, "to": {strings.Join(to, ",")}}
	if f.User != "" {
		u.User = url.UserPassword(f.User, f.password)
		if port != "465" && !Loopback(host) {
			query.Set("requirestarttls", "yes") // no password in clear
		}
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}

func (f noticeForm) ntfy() (string, *Problem) {
	server := f.NtfyServer
	if server == "" {
		server = "https://ntfy.sh"
	}
	if !strings.Contains(server, "://") {
		server = "https://" + server
	}
	at, err := url.Parse(server)
	if err != nil || at.Scheme != "https" && at.Scheme != "http" || at.Host == "" || strings.Trim(at.Path, "/") != "" {
		return "", &Problem{Sentence: "This is no ntfy server.", Action: "Write it like https://ntfy.example.com, or leave it empty for ntfy.sh."}
	}
	if f.Topic == "" || strings.ContainsAny(f.Topic, "/?# ") {
		return "", &Problem{Sentence: "The topic is missing, or is none.", Action: "Write the one that you have subscribed to, such as a name that nobody can guess."}
	}
	u := url.URL{Scheme: "ntfy", Host: at.Host, Path: "/" + f.Topic}
	if f.token != "" {
		u.User = url.UserPassword("", f.token)
	}
	if at.Scheme == "http" {
		u.RawQuery = "scheme=http"
	}
	return u.String(), nil
}
