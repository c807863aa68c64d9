package web

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/url"
	"strings"
	"text/template"

	"github.com/google/uuid"
)

// mobileconfigType is the media type of a configuration profile.
const mobileconfigType = "application/x-apple-aspen-config; charset=utf-8"

// profile is the data of profilePlist, which escapes every string for XML.
type profile struct {
	Identifier, Host, Port, User, Password, Principal string
	Title, About                                      string
	HTTPS                                             bool
	Account, Whole                                    string // UUIDs
}

var profilePlist = template.Must(template.New("").Funcs(template.FuncMap{"x": func(s string) (string, error) {
	var b strings.Builder
	err := xml.EscapeText(&b, []byte(s))
	return b.String(), err
}}).Parse(`<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>PayloadContent</key>
	<array>
		<dict>
			<key>CalDAVAccountDescription</key>
			<string>{{x .Title}}</string>
			<key>CalDAVHostName</key>
			<string>{{x .Host}}</string>
			{{- if .Port}}
			<key>CalDAVPort</key>
			<integer>{{x .Port}}</integer>
			{{- end}}
			{{- if .Principal}}
			<key>CalDAVPrincipalURL</key>
			<string>{{x .Principal}}</string>
			{{- end}}
			<key>CalDAVUseSSL</key>
			<{{.HTTPS}}/>
			<key>CalDAVUsername</key>
			<string>{{x .User}}</string>
			{{- if .Password}}
			<key>CalDAVPassword</key>
			<string>{{x .Password}}</string>
			{{- end}}
			<key>PayloadDisplayName</key>
			<string>{{x .Title}}</string>
			<key>PayloadIdentifier</key>
			<string>{{x .Identifier}}.caldav</string>
			<key>PayloadType</key>
			<string>com.apple.caldav.account</string>
			<key>PayloadUUID</key>
			<string>{{.Account}}</string>
			<key>PayloadVersion</key>
			<integer>1</integer>
		</dict>
	</array>
	<key>PayloadDescription</key>
	<string>{{x .About}}</string>
	<key>PayloadDisplayName</key>
	<string>{{x .Title}}</string>
	<key>PayloadIdentifier</key>
	<string>{{x .Identifier}}</string>
	<key>PayloadRemovalDisallowed</key>
	<false/>
	<key>PayloadType</key>
	<string>Configuration</string>
	<key>PayloadUUID</key>
	<string>{{.Whole}}</string>
	<key>PayloadVersion</key>
	<integer>1</integer>
</dict>
</plist>
`))

// mobileconfig is an Apple configuration profile, unsigned, that adds the CalDAV account of user at address (public_url) to an
// iPhone, iPad or Mac (Apple device management, com.apple.caldav.account). It is served as [mobileconfigType], as an
// attachment. Without a password the device asks for it. Identifiers and UUIDs depend only on user and server, so that
// installing it again updates the account instead of adding another.
func mobileconfig(l *Language, address, user, password string) ([]byte, error) {
	host, port, https, err := hostPort(address)
	if err != nil {
		return nil, err
	}
	at := authority(host, port)
	p := profile{Host: host, Port: port, User: user, Password: password, HTTPS: https, Title: l.Text("Outlook calendars of {account} ({host})", user, at),
		About: l.Text("Adds the Outlook calendars of {account} from {host}.", user, host)}
	if !https && port == "" {
		p.Port = "80" // the default is 443
	}
	scheme := "http"
	if https {
		scheme = "https"
	}
	_, base := splitAddress(address)
	principal := (&url.URL{Scheme: scheme, Host: at, Path: base + "/dav/principals/" + user + "/"}).String()
	// At the default port, discovery by /.well-known/caldav is more reliable; another port has to be in both. Below a path,
	// /.well-known/caldav may be somebody else's.
	if p.Port != "" || base != "" {
		p.Principal = principal
	}
	p.Identifier = "outbridge." + strings.NewReplacer(":", "-", "[", "", "]", "", "/", "-").Replace(at+base) + "." + user
	space := uuid.NewSHA1(uuid.NameSpaceURL, []byte(principal))
	p.Account = strings.ToUpper(uuid.NewSHA1(space, []byte("caldav")).String())
	p.Whole = strings.ToUpper(space.String())
	var b bytes.Buffer
	if err := profilePlist.Execute(&b, p); err != nil {
		return nil, fmt.Errorf("make profile: %w", err)
	}
	return b.Bytes(), nil
}
