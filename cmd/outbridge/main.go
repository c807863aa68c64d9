// Command outbridge serves Outlook calendars to CalDAV clients and as .ics feeds. See README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "outbridge: "+oneLine(err))
	var usage usageError
	if errors.As(err, &usage) {
		os.Exit(2)
	}
	os.Exit(1)
}

// cli is the command line. Its names are fixed: scripts depend on them.
type cli struct {
	Demo     demoCmd     `cmd:"" help:"Run a simulated Outlook mailbox behind the real bridge; needs no account and no configuration."`
	Convert  convertCmd  `cmd:"" help:"Convert Graph event JSON on standard input to iCalendar on standard output."`
	Serve    serveCmd    `cmd:"" help:"Keep calendars in sync, and serve CalDAV, feeds and the web pages."`
	Login    loginCmd    `cmd:"" help:"Sign an account in to Microsoft, with a device code or in a browser."`
	Sync     syncCmd     `cmd:"" help:"Sync everything once, then exit."`
	Status   statusCmd   `cmd:"" help:"Show the state of each account and calendar: what to fix, last sync, events, differences."`
	Record   recordCmd   `cmd:"" help:"List who signed in to the web pages, who was refused, and who made or removed app passwords, feeds and people."`
	Writes   writesCmd   `cmd:"" help:"List what calendar programs have changed, what was refused, and what was mailed."`
	Probe    probeCmd    `cmd:"" help:"Ask a mailbox what only Microsoft knows about writing, in a calendar that is removed again; nobody is mailed."`
	Rebuild  rebuildCmd  `cmd:"" help:"Convert all stored events again, without contacting Microsoft."`
	Explain  explainCmd  `cmd:"" help:"Show an event's Graph JSON, each decision of the conversion, and the iCalendar it became."`
	Members  membersCmd  `cmd:"" help:"Show who of the organization has an account, and who has none and why."`
	Password passwordCmd `cmd:"" help:"Manage app passwords for CalDAV clients."`
	Feed     feedCmd     `cmd:"" help:"Manage feeds: .ics addresses to subscribe to."`
	Notify   notifyCmd   `cmd:"" help:"Try out the notifications about trouble."`
	Export   exportCmd   `cmd:"" help:"Write a user's calendars to standard output as one .ics."`
	Config   configCmd   `cmd:"" help:"Check the configuration, or show what is in effect."`
	Init     initCmd     `cmd:"" help:"Create a configuration and a key, from three questions or from flags."`
	Doctor   doctorCmd   `cmd:"" help:"Check everything that clients depend on, and say how to fix what is broken."`
	Backup   backupCmd   `cmd:"" help:"Copy the database to a file, even while the server runs."`
	Migrate  migrateCmd  `cmd:"" help:"Copy an SQLite database to a PostgreSQL server."`
	Restore  restoreCmd  `cmd:"" help:"Replace the database with a backup."`
	Version  versionCmd  `cmd:"" help:"Print the version, the commit and its date."`

	Healthcheck healthcheckCmd `cmd:"" help:"Check that the server on this machine is healthy, for containers and monitoring."`
	Completion  completionCmd  `cmd:"" help:"Print the completion script for a shell."`
	Complete    completeCmd    `cmd:"" hidden:"" help:"Print completions for a command line."`
	Man         manCmd         `cmd:"" help:"Print the manual page."`
}

// env is what a command works with.
type env struct {
	ctx            context.Context
	stdin          io.Reader
	stdout, stderr io.Writer
}

// usageError is a wrong command line: exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// run is the whole program. It returns when the command is done or ctx ends.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	exited := false
	parser, err := kong.New(&cli{},
		kong.Name("outbridge"),
		kong.Description("Outlook calendars (Microsoft Graph) in any calendar app, over CalDAV and .ics feeds."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { exited = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.UsageOnError(),
	)
	if err != nil {
		return err
	}
	explainCommands(parser)
	switch {
	case len(args) == 0:
		_, err := io.WriteString(stdout, welcome)
		return err
	case args[0] == "--version":
		args = append([]string{"version"}, args[1:]...)
	}
	command, err := parser.Parse(args)
	if exited {
		return nil
	}
	if err != nil {
		return withHelp(err, nil)
	}
	err = command.Run(&env{ctx: ctx, stdin: stdin, stdout: stdout, stderr: stderr})
	if errors.As(err, new(usageError)) {
		return withHelp(err, command)
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return errors.New("interrupted; the work done so far is kept")
	}
	return worded(err, "")
}

func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(c rune) bool { return c == '\n' || c == '\r' }), "; ")
}
