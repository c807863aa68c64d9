package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"
)

// notify tells systemd the state of the service (sd_notify(3)): "READY=1", "STOPPING=1", "WATCHDOG=1". If systemd did not
// ask for it, it does nothing.
func notify(state string) error {
	address := os.Getenv("NOTIFY_SOCKET")
	if address == "" {
		return nil
	}
	if address[0] == '@' {
		address = "\x00" + address[1:]
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}

// watchdog is how long systemd waits for a sign of life (sd_watchdog_enabled(3)); 0: it does not.
func watchdog() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	us, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || us <= 0 {
		return 0
	}
	return time.Duration(us) * time.Microsecond
}

// watch tells systemd that the bridge is ready, then that it is alive as long as the database answers, and finally that it
// is stopping.
func watch(ctx context.Context, store interface{ Ping(context.Context) error }, log *slog.Logger) error {
	tell := func(state string) {
		if err := notify(state); err != nil {
			log.Warn("cannot notify systemd", "err", err)
		}
	}
	tell("READY=1")
	defer tell("STOPPING=1")
	every := watchdog() / 3
	if every <= 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		ping, cancel := context.WithTimeout(ctx, every)
		err := store.Ping(ping)
		cancel()
		if err == nil {
			tell("WATCHDOG=1")
		} else if ctx.Err() == nil {
			log.Error("the database does not answer; the systemd watchdog is not reset", "err", err)
		}
	}
}
