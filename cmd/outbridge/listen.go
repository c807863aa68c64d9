package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"

	"outbridge/bridge/web"
)

const (
	defaultListen = "127.0.0.1:8080"
	unixPrefix    = "unix:"
	// maxSocketPath is the longest path of a Unix socket, in octets: the system's bound (unix(7)), less what is added to it while
	// the socket is made.
	maxSocketPath = 100
)

// place is where the server listens: network is tcp, with an address; unix, with a path; or systemd, which listens itself and
// passes on the sockets of a name, "" for all of them.
type place struct{ network, at string }

func (p place) String() string {
	switch {
	case p.network == "unix":
		return unixPrefix + p.at
	case p.network == "systemd" && p.at == "":
		return "systemd"
	case p.network == "systemd":
		return "systemd:" + p.at
	}
	return p.at
}

func parsePlace(text string) (place, error) {
	if path, ok := strings.CutPrefix(text, unixPrefix); ok {
		if rest, ok := strings.CutPrefix(path, "///"); ok { // as in a URL
			path = "/" + rest
		}
		switch {
		case path == "" || path[0] == '@' || strings.HasSuffix(path, "/"):
			return place{}, fmt.Errorf("listen = %q is not a Unix socket: write it like unix:/run/outbridge/outbridge.sock", text)
		case len(path) > maxSocketPath:
			return place{}, fmt.Errorf("listen = %q: the path of a Unix socket may have at most %d characters", text, maxSocketPath)
		}
		return place{"unix", path}, nil
	}
	if name, ok := strings.CutPrefix(text, "systemd"); ok && (name == "" || name[0] == ':') {
		return place{"systemd", strings.TrimPrefix(name, ":")}, nil
	}
	_, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil || port == "" {
		return place{}, fmt.Errorf("listen = %q is not an address: write it like 127.0.0.1:8080, unix:/run/outbridge/outbridge.sock or systemd", text)
	}
	return place{"tcp", text}, nil
}

// places reads listen: a text, which may have commas, or a list of texts.
func (c *config) places() ([]place, error) {
	var texts []string
	switch v := c.Listen.(type) {
	case string:
		texts = commaList(v)
	case []any:
		for _, item := range v {
			text, ok := item.(string)
			if !ok {
				return nil, fmt.Errorf("listen: %v is not an address: write it like \"127.0.0.1:8080\"", item)
			}
			texts = append(texts, text)
		}
	default:
		return nil, fmt.Errorf("listen: %v is not an address: write it like \"127.0.0.1:8080\"", v)
	}
	if len(texts) == 0 {
		return nil, errors.New(`listen is empty: write an address, like "127.0.0.1:8080"`)
	}
	var list []place
	for _, text := range texts {
		p, err := parsePlace(text)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// setPlaces makes listen what it would be in a file.
func (c *config) setPlaces(list []place) {
	if len(list) == 1 {
		c.Listen = list[0].String()
		return
	}
	var texts []any
	for _, p := range list {
		texts = append(texts, p.String())
	}
	c.Listen = texts
}

// listenText is listen for people.
func (c *config) listenText() string {
	list, err := c.places()
	if err != nil {
		return fmt.Sprint(c.Listen)
	}
	var texts []string
	for _, p := range list {
		texts = append(texts, p.String())
	}
	return strings.Join(texts, ", ")
}

// firstAddress is the first place in the network; "" if there is none.
func (c *config) firstAddress() string {
	list, _ := c.places()
	for _, p := range list {
		if p.network == "tcp" {
			return p.at
		}
	}
	return ""
}

// checkListen checks listen and what goes with it.
func (c *config) checkListen() error {
	list, err := c.places()
	if err != nil {
		return err
	}
	if c.socketMode, err = parseMode(c.SocketMode); err != nil {
		return err
	}
	network := false
	for _, p := range list {
		network = network || p.network != "unix"
	}
	if len(c.TLS.Domains) > 0 && !network {
		return errors.New(`tls.domains needs an address of the network in listen, like ":443": nobody asks for certificates at a Unix socket`)
	}
	return nil
}

func parseMode(text string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || n > 0o777 || n&0o600 != 0o600 {
		return 0, fmt.Errorf("socket_mode = %q: write it like \"0660\", for owner and group, or \"0666\", for everybody on this machine", text)
	}
	return fs.FileMode(n), nil
}

// absolutePlaces makes the paths of Unix sockets relative to dir into whole ones.
func (c *config) absolutePlaces(dir string) {
	list, err := c.places()
	if err != nil {
		return
	}
	for i, p := range list {
		if p.network == "unix" && !filepath.IsAbs(p.at) {
			list[i].at = absolute(filepath.Join(dir, p.at))
		}
	}
	c.setPlaces(list)
}

// listenAt sets listen as --listen names it.
func (c *config) listenAt(text string) error {
	c.Listen = text
	if err := c.check(); err != nil {
		return usageError{fmt.Errorf("--listen %s is not an address: write it like 127.0.0.1:8080 or unix:/run/outbridge/outbridge.sock", text)}
	}
	return nil
}

// activated reports whether systemd has passed sockets to this process (sd_listen_fds(3)).
func activated() bool {
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	return err == nil && n > 0 && os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid())
}

// takeSockets are the sockets of systemd, by name. They can be taken once.
var takeSockets = sync.OnceValues(activation.ListenersWithNames)

// open listens at every place. What systemd has passed on is checked as an address in the file would be.
func (c *config) open() (all []net.Listener, err error) {
	list, err := c.places()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			closeAll(all)
		}
	}()
	for _, p := range list {
		switch p.network {
		case "unix":
			l, err := listenUnix(p.at, c.socketMode)
			if err != nil {
				return all, fmt.Errorf("listen: %w", err)
			}
			all = append(all, l)
		case "systemd":
			given, err := socketsOf(p)
			if err != nil {
				return all, err
			}
			all = append(all, given...)
			for _, l := range given {
				if l.Addr().Network() != "unix" {
					if err := c.exposedAt(l.Addr().String()); err != nil {
						return all, err
					}
				}
			}
		default:
			l, err := net.Listen("tcp", p.at)
			if err != nil {
				return all, fmt.Errorf("listen: %w: choose another listen address in the configuration, or with --listen", err)
			}
			all = append(all, l)
		}
	}
	return all, nil
}

func socketsOf(p place) ([]net.Listener, error) {
	given, err := takeSockets()
	if err != nil {
		return nil, fmt.Errorf("listen = %q: %w", p, err)
	}
	var all []net.Listener
	for name, list := range given {
		if p.at == "" || p.at == name {
			for _, l := range list {
				if l != nil {
					all = append(all, l)
				}
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("listen = %q, but systemd has passed no such socket: start it with `systemctl start outbridge.socket`, or write an address", p)
	}
	return all, nil
}

func closeAll(list []net.Listener) {
	for _, l := range list {
		_ = l.Close()
	}
}

// opened is where the listeners are, for people: one text without spaces.
func (c *config) opened(list []net.Listener) string {
	var texts []string
	for _, l := range list {
		if at := l.Addr(); at.Network() == "unix" {
			texts = append(texts, unixPrefix+at.String())
		} else {
			texts = append(texts, c.scheme()+"://"+at.String())
		}
	}
	return strings.Join(texts, ",")
}

// unixSocket is a listener whose file goes with it, unless it is another's by then.
type unixSocket struct {
	*net.UnixListener
	path string
	file fs.FileInfo
	once sync.Once
}

func (s *unixSocket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

func (s *unixSocket) Close() error {
	err := s.UnixListener.Close()
	s.once.Do(func() {
		if now, statErr := os.Lstat(s.path); statErr == nil && os.SameFile(now, s.file) {
			_ = os.Remove(s.path)
		}
	})
	return err
}

// listenUnix listens at a path with that mode. The file of a server that has died is replaced; one that somebody answers at is
// not. The socket is made under another name first, so that it never has another mode.
func listenUnix(path string, mode fs.FileMode) (net.Listener, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode()&fs.ModeSocket == 0:
		return nil, fmt.Errorf("%s is there and no socket: move it away, or choose another path", path)
	default:
		conn, err := net.DialTimeout("unix", path, 2*time.Second)
		if err == nil {
			conn.Close()
			return nil, fmt.Errorf("another program is serving at %s: stop it first, or choose another path", path)
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("%s may be another program's: %w: move it away, or choose another path", path, err)
		}
	}
	made := path + ".new"
	if info, err := os.Lstat(made); err == nil && info.Mode()&fs.ModeSocket != 0 {
		_ = os.Remove(made)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("%w: the folder %s has to exist and be writable; under systemd, RuntimeDirectory=outbridge makes /run/outbridge", err, filepath.Dir(path))
	}
	l.SetUnlinkOnClose(false)
	s := &unixSocket{UnixListener: l, path: path}
	if err = os.Chmod(made, mode); err == nil {
		if s.file, err = os.Lstat(made); err == nil {
			err = os.Rename(made, path)
		}
	}
	if err != nil {
		_ = os.Remove(made)
		return nil, errors.Join(err, l.Close())
	}
	return s, nil
}

// exposedAt refuses an address at which app passwords would arrive over plain http from other machines.
func (c *config) exposedAt(address string) error {
	if c.TLS.on() || c.proxies.Any() || len(c.safe) > 0 {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if web.Loopback(host) {
		return nil
	}
	return fmt.Errorf("listen = %q would accept app passwords over plain http from other machines: set a certificate in [tls], or put a proxy with TLS in front and name it in trusted_proxy, or name networks where nobody else can listen in safe_networks, or listen on 127.0.0.1", address)
}
