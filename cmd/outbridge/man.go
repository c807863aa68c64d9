package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

type manCmd struct{}

// Run prints the manual page outbridge(1) in the macros of man(7), from the same model as --help. It has no date, so that
// the same program always prints the same page.
func (manCmd) Run(e *env, k *kong.Kong) error {
	w := bufio.NewWriter(e.stdout)
	p := manPage{w}
	p.line(`.TH OUTBRIDGE 1 "" "outbridge %s" "User Commands"`, roffText(version()))
	p.line(".SH NAME")
	p.line(`outbridge \- %s`, roffText(strings.TrimSuffix(k.Model.Help, ".")))
	p.line(".SH SYNOPSIS")
	p.line(".B outbridge")
	p.line(".I command")
	p.line("[flags]")
	p.line(".SH DESCRIPTION")
	p.text("A self-hosted bridge that serves Outlook calendars to any calendar app, over CalDAV and as .ics feeds. `outbridge demo` shows it with a simulated mailbox. `outbridge serve` needs no configuration and is set up on its web pages; in the terminal `outbridge init` creates a configuration and `outbridge login` signs in. `outbridge doctor` says what is wrong and how to fix it.")
	p.line(".SH COMMANDS")
	for _, leaf := range k.Model.Leaves(true) {
		p.command(leaf)
	}
	p.line(".SH FILES")
	p.term("outbridge.toml", "The configuration, in the current folder unless --config or OUTBRIDGE_CONFIG names another file. config.example.toml explains every key.")
	p.term("outbridge.db", "The database. Next to it are its -wal, -shm and .lock files and the folders feed-cache, which may be deleted, and tls.")
	p.term("outbridge.key", "The key that seals sign-ins and hashes passwords in the database.")
	p.line(".SH ENVIRONMENT")
	p.term("OUTBRIDGE_CONFIG", "The configuration file.")
	p.term("OUTBRIDGE_LISTEN, OUTBRIDGE_PUBLIC_URL, OUTBRIDGE_MICROSOFT_CLIENT_ID, OUTBRIDGE_ACCOUNT_1_NAME …", "Every key of the configuration, before the file: the section and the key in capitals. Lists have commas. `outbridge config show` says what is in effect and where it comes from.")
	p.term("HTTPS_PROXY, NO_PROXY", "The proxy on the way to Microsoft.")
	p.term("SSL_CERT_FILE, SSL_CERT_DIR", "A file and a folder of certificates of authorities, such as that of a proxy that inspects TLS.")
	p.term("NOTIFY_SOCKET, WATCHDOG_USEC, CREDENTIALS_DIRECTORY", "Set by systemd, which is told the state of the service. A key or secret that it provides is used instead of the configured file of the same name.")
	p.line(".SH EXIT STATUS")
	p.term("0", "Done.")
	p.term("1", "Failed; one line on standard error says why and what to do.")
	p.term("2", "Wrong usage.")
	return w.Flush()
}

// manPage writes roff.
type manPage struct{ io.Writer }

func (p manPage) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// text writes a paragraph. None of its lines begins like a roff request.
func (p manPage) text(s string) { p.line("%s", roffText(s)) }

func (p manPage) term(name, text string) {
	p.line(".TP")
	p.line(`.B %s`, roffText(name))
	p.text(text)
}

func (p manPage) command(n *kong.Node) {
	p.line(".SS %s", roffText(strings.TrimPrefix(n.FullPath(), "outbridge ")))
	p.line(".nf")
	p.line(`.B outbridge %s`, roffText(n.Summary()))
	p.line(".fi")
	p.line(".PP")
	p.text(n.Help)
	for part := range strings.SplitSeq(n.Detail, "\n\n") {
		p.line(".PP")
		if example, ok := strings.CutPrefix(part, "  "); ok {
			p.line(".nf")
			p.line(`\&  %s`, roffText(example))
			p.line(".fi")
			continue
		}
		p.text(part)
	}
	for _, arg := range n.Positional {
		p.term(arg.Summary(), arg.Help)
	}
	for _, f := range n.Flags {
		if !f.Hidden {
			p.term(f.String(), f.Help)
		}
	}
}

// roffText escapes what roff would interpret: backslashes, hyphens that must stay hyphens, and a dot or an apostrophe at
// the beginning.
func roffText(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}
