package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// welcome is what the program says if it is told nothing.
const welcome = `outbridge serves Outlook calendars to any calendar app, over CalDAV and as .ics feeds.

Three ways to begin:

  outbridge demo     Look first: a simulated mailbox behind the real bridge. It needs no account and keeps nothing.
  outbridge serve    Set it up in the browser. It prints a link to its web pages, which guide you through the rest.
  outbridge init     Set it up in the terminal. It asks three questions and writes a configuration to edit.

` + "`outbridge --help` lists all commands, and `outbridge COMMAND --help` explains one.\n"

// details are what --help and the manual page say of each command beyond its one line. An indented line is an example.
var details = map[string]string{
	"demo": `Everything is real but Outlook: pages, CalDAV, feeds and writing. It prints where to look and how to sign in. Ctrl-C ends it and
removes its data, unless --data names a folder to keep it in.`,
	"convert": `Reads an event, an array of events, or a page ({"value": [...]}) from standard input, as Microsoft Graph wrote it. Differences,
which are what iCalendar cannot express, are listed on standard error.

  outbridge convert < graph.json > calendar.ics`,
	"serve": `Without a configuration it keeps everything in ~/.local/share/outbridge and serves this machine only. The first time it prints a link
to set it up on the web pages. SIGHUP reads the configuration again; SIGINT and SIGTERM end it.`,
	"login": `Prints an address and a code: open the address in any browser, enter the code and sign in. Some organizations block codes; then
use --flow browser, with http://localhost as a redirect URI of the app registration. A running server notices the sign-in by itself.

  outbridge login alice`,
	"sync": `One complete round now. It does no harm while a server runs. The exit code is 1 if an account could not be synced.`,
	"status": `Of each account the state, and what to do if something is wrong; of each calendar how much is in it, when it was last in step with
Outlook, what calendar apps show differently because iCalendar cannot express it, and what the daily comparison with Outlook found. Where there are many accounts or an organization, it sums them up, and shows those that something is wrong with.`,
	"members list": `Who is a member, by the last look into the directory: the name of the account, which is the CalDAV user, the address, and the state.
With --left-out those who are members and have no account, and why.`,
	"members sync": `One look into the directory now. A running server takes it up at its next look.`,
	"members confirm": `If the directory's answer would end more than half of the accounts, it is not believed for an hour; if it would end all of them, not
until somebody confirms it. Everybody goes on being served meanwhile. This command says that the answer is right. What is of those who
leave is kept for the grace time either way.`,
	"record": `What people did on the web pages, and what commands did with passwords and feeds, the latest first; it is kept for 400 days. It has no
secrets and nothing of events. Where administrators may see events of others, each look is in it.`,
	"members forget": `Once [organization] is out of the configuration, nothing of its members is synced or served, and what is theirs is still in the
database. This deletes it.`,
	"writes": `The record of changes, the latest first: who asked for it with which app, what became of it, and which mails Outlook sent because
of it.`,
	"probe": `Some of what Outlook does with a change is not documented. The probe tries it in a calendar of its own and keeps what it finds out.
The account must be one that may write.`,
	"rebuild": `Says how many events were converted and how many objects are different now. A new version does this by itself in its next round; use
it to see at once what a new version or a changed configuration does.`,
	"explain": `For bug reports: shows what Microsoft Graph said, what the converter made of it, and why. Read the output before you share it: it
contains the whole event, except what --redact leaves out.

  outbridge explain "weekly review" --redact`,
	"password add": `Calendar apps sign in with it. Use one for each device, so that a lost one can be revoked alone.

  outbridge password add alice --label phone`,
	"password list":   `Shows the ID that revoke wants.`,
	"password revoke": `The app that uses it cannot sign in any more. Others are not affected.`,
	"password admin":  `Sets a new password, and ends the sessions of the administrator on the web pages. The old one stops working.`,
	"feed add": `Anyone who knows the address can read the feed, and nobody can change anything with it. Detail busy tells when you are busy, and
nothing else.

  outbridge feed add alice --calendar Work --detail busy`,
	"feed list":   `Shows the ID that the other commands want.`,
	"feed change": `Only what a flag names changes. Subscribers see it when they next refresh.`,
	"feed rotate": `Subscribers have to be given the new address.`,
	"feed remove": `Subscribers keep what they have already loaded.`,
	"export":      `  outbridge export alice Work > work.ics`,
	"config check": `Names every problem that it can find, each with how to fix it, without contacting anyone or changing anything: unknown keys, wrong
values, files that are missing or that anybody can read. The exit code is 1 if there is one. What only looks odd is a remark, which does
not change the exit code. For what can only be seen from outside there is doctor.`,
	"config show": `Every key with the value in effect, and where it comes from: the file, a variable of the environment, systemd, the web pages, or the
default. It shows no secrets.`,
	"init": `What no flag gives is asked; without a terminal the defaults are taken. It writes outbridge.toml and the key, and never overwrites
anything.

  outbridge init --client-id 11111111-2222-3333-4444-555555555555 --account alice`,
	"notify test": `Sends to every address of the configuration and of the web pages, and says which of them took it. The exit code is 1 if one did not.`,
	"doctor": `Looks from outside, as a calendar app would: the address, its certificate, discovery, the sign-in to Microsoft, the clock, the
database and the disk. The exit code is 1 if something is broken.`,
	"backup": `The copy is what one moment held. It is useless without the key, which belongs somewhere else.

  outbridge backup /backup/outbridge-$(date +%F).db`,
	"migrate": `Stop the server first. Everything is copied in one transaction, so what fails leaves the PostgreSQL database empty and the file as it
was. Each table is read back and must come to the same sum. Clients do not sync anew.

  outbridge migrate --to postgres://outbridge@db.example.com/outbridge --password-file db-password`,
	"restore": `Stop the server first. Calendar apps compare everything with the restored state, and the next sync brings it up to date.
With PostgreSQL its own tools restore the database. After pg_restore nothing else is needed; after a snapshot or a point in time that is
earlier, or a standby that lacked the latest commits, run outbridge restore --begin-again.`,
	"version":     `Also the commit, its date and the platform. outbridge --version is the same.`,
	"healthcheck": `The exit code is 0 if it answers that it is healthy.`,
	"completion": `The first line of the script says where it belongs. For this shell alone:

  source <(outbridge completion bash)`,
	"man": `  outbridge man | man -l -`,
}

// explainCommands puts the details into the model.
func explainCommands(k *kong.Kong) {
	for _, leaf := range k.Model.Leaves(false) {
		leaf.Detail = details[commandName(leaf)]
	}
}

// commandName is a command as it is typed, as in "feed add".
func commandName(n *kong.Node) string {
	if n.Parent == nil || n.Type != kong.CommandNode {
		return ""
	}
	return strings.TrimSpace(commandName(n.Parent) + " " + n.Name)
}

// withHelp is a wrong command line, with the help that says how it is right: that of the command, as far as there is one.
func withHelp(err error, command *kong.Context) error {
	var parse *kong.ParseError
	if errors.As(err, &parse) {
		command = parse.Context
	}
	name := ""
	if command != nil {
		for _, p := range command.Path {
			if p.Command != nil {
				name = commandName(p.Command)
			}
		}
	}
	return usageError{fmt.Errorf("%w; see `%s --help`", err, strings.TrimSpace("outbridge "+name))}
}
