package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"outbridge/bridge"
)

// ServerTrouble is a kind of ServerError.
type ServerTrouble int

const (
	ServerUnreachable ServerTrouble = iota + 1 // no connection, or one that broke
	ServerBusy                                 // locks, time limits, no connection left, a server that starts or stops
	ServerRefuses                              // user, password, database or TLS
	ServerForbids                              // the user may not do that
	ServerFull                                 // the disk, or another limit of the server
	ServerReadOnly                             // a standby
	ServerTaken                                // tables of another program
)

// ServerError is why a PostgreSQL server did not do what it was asked. It names the host and the database and never the password. Of
// these, ServerUnreachable and ServerBusy pass by themselves: they are ErrBusy. Where a connection broke while a transaction was
// committed, it may have been.
type ServerError struct {
	Trouble ServerTrouble
	Server  string // database and host
	Err     error  // says more; never nil
}

func (e *ServerError) Error() string {
	said := strings.Join(strings.Fields(e.Err.Error()), " ")
	switch e.Trouble {
	case ServerUnreachable:
		return fmt.Sprintf("the database %s cannot be reached (%s)", e.Server, said)
	case ServerBusy:
		return fmt.Sprintf("the database %s is busy: nothing was changed (%s)", e.Server, said)
	case ServerRefuses:
		return fmt.Sprintf("the database %s lets nobody in (%s)", e.Server, said)
	case ServerForbids:
		return fmt.Sprintf("the database %s does not allow it (%s)", e.Server, said)
	case ServerFull:
		return fmt.Sprintf("the server of the database %s has no room: what was there is kept (%s)", e.Server, said)
	case ServerReadOnly:
		return fmt.Sprintf("the database %s is read-only, as on a standby (%s)", e.Server, said)
	case ServerTaken:
		return fmt.Sprintf("the database %s has tables of another program (%s)", e.Server, said)
	}
	return said
}

func (e *ServerError) Unwrap() error { return e.Err }

// Is makes trouble that passes ErrBusy, and a full disk ErrNoRoom.
func (e *ServerError) Is(target error) bool {
	switch e.Trouble {
	case ServerUnreachable, ServerBusy:
		return target == bridge.ErrBusy
	case ServerFull:
		return target == bridge.ErrNoRoom
	}
	return false
}

// Temporary reports the same to who does not know ErrBusy.
func (e *ServerError) Temporary() bool { return errors.Is(e, bridge.ErrBusy) }

// explain makes a ServerError of what the server or the network answers.
func (s *server) explain(err error) error {
	if err == nil || errors.As(err, new(*ServerError)) {
		return err
	}
	if trouble := serverTrouble(err); trouble != 0 {
		return &ServerError{trouble, s.name, err}
	}
	return err
}

// midway is an error in the middle of a list.
func midway(err error) error {
	if lost(err) {
		return &ServerError{ServerUnreachable, "of the bridge", err}
	}
	return err
}

// lost reports that there was no connection, or is none any more.
func lost(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return strings.HasPrefix(pg.Code, "57P0") || strings.HasPrefix(pg.Code, "08")
	}
	return err != nil && serverTrouble(err) == ServerUnreachable
}

func serverTrouble(err error) ServerTrouble {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch {
		case strings.HasPrefix(pg.Code, "28"), pg.Code == "3D000":
			return ServerRefuses
		case pg.Code == "42501":
			return ServerForbids
		case pg.Code == "25006":
			return ServerReadOnly
		case pg.Code == "42P07": // duplicate_table, which only a migration creates
			return ServerTaken
		case pg.Code == "53300", // too_many_connections
			strings.HasPrefix(pg.Code, "40"), pg.Code == "55P03", pg.Code == "57014", // turned back, lock_timeout, statement_timeout
			strings.HasPrefix(pg.Code, "57P0"), pg.Code == "25P03": // shutdown, start-up, idle for too long in a transaction
			return ServerBusy
		case strings.HasPrefix(pg.Code, "53"), pg.Code == "58030":
			return ServerFull
		case strings.HasPrefix(pg.Code, "08"):
			return ServerUnreachable
		}
		return 0
	}
	if errors.Is(err, context.Canceled) {
		return 0
	}
	var network net.Error
	var connect *pgconn.ConnectError
	switch {
	case errors.As(err, &connect) && strings.Contains(err.Error(), "tls"):
		return ServerRefuses
	case errors.As(err, &connect), errors.As(err, &network) && !errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return ServerUnreachable
	case strings.Contains(err.Error(), "conn closed"), strings.Contains(err.Error(), "driver: bad connection"):
		return ServerUnreachable
	}
	return 0
}
