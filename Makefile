# The commands of this project. `make test` checks everything; CI runs the same.

GO ?= go

# Of what `make package` and `make dist` build.
VERSION ?= $(shell git describe --tags --match 'v*' 2>/dev/null | sed 's/^v//' | grep . || echo 0.0.0)

# How tests are built with the race detector. It watches what lies in Go's memory: SQLite has memory of its own, and hashing a
# password shares nothing, so that watching the code of both takes three quarters of the time of many tests and finds nothing.
# What calls them is watched.
RACE := -race -gcflags=modernc.org/sqlite/lib=-race=false -gcflags=golang.org/x/crypto/blowfish=-race=false

.PHONY: demo test setup check bench bench-serving lint generate package dist release screenshots

demo: ## a simulated Outlook mailbox behind the real bridge; no account needed
	$(GO) run ./cmd/outbridge demo

# The tag interop adds the tests with real clients (Thunderbird, evolution-data-server, vdirsyncer, khal, python3-caldav,
# curl), with their engines (ical.js from npm, libical, Ruby's icalendar), with proxies (Caddy, nginx, Apache) and with
# shells. Last come the packages and the image: built, installed, run, upgraded and removed. `go test ./...` without it needs nothing
# but Go.
test: setup check
	@echo "tests: they are built with the race detector first, which takes minutes the first time"
	$(GO) tool gotestsum --format testname -- $(RACE) -tags interop -timeout 25m -parallel 4 ./...
	@echo "writes and moves: every point at which one can fail, which takes too long with the race detector"
	$(GO) test -timeout 25m -run '^(TestFaults|TestKills|TestMoveKilled)$$' ./bridge/write ./bridge/round
	@echo "packages and image: built, installed, run, upgraded and removed"
	$(GO) test -C packaging ./...
	packaging/test

# Debian packages that the tests need, where they are missing. The race detector needs a C compiler.
setup:
	@.ci/packages gcc libc6-dev postgresql pgbouncer curl litmus vdirsyncer khal python3-caldav nodejs npm libical-dev ruby-icalendar \
		thunderbird evolution-data-server gir1.2-ecal-2.0 python3-gi dbus-daemon chromium \
		nginx-light apache2-bin caddy zsh fish zip rpm2cpio cpio

check:
	@echo "checks: gofmt, go vet, staticcheck"
	@unformatted=$$(gofmt -l bridge caldav cmd packaging); \
	if [ -n "$$unformatted" ]; then echo "gofmt -w these files:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet -tags interop,load ./...
	$(GO) vet -C packaging ./...
	cd packaging && $(GO) tool -modfile=../go.mod staticcheck ./...
	$(GO) tool staticcheck -tags interop,load ./...

# govulncheck reads the Go vulnerability database over the network, which not every machine reaches, so it is not
# part of `make test`.
lint: check
	$(GO) tool govulncheck ./...

# Side by side with Cyrus, Radicale, Xandikos and nginx, from Debian's packages. `make bench-serving` is the comparison alone, and with
# BEFORE=COMMIT that commit's program is measured beside it.
bench:
	@.ci/packages radicale xandikos nginx-light git
	$(GO) test -run '^$$' -bench . -benchmem ./...
	$(GO) test -tags load -count 1 -timeout 90m -run 'TestLoad|TestDatabaseSize|TestWriteCosts|TestCompare|TestServeMemory|TestScale|TestManyMembers|TestManyMachines|TestMachinesInTrouble|TestMachinesUpgraded' -v ./cmd/outbridge
	$(MAKE) bench-serving

bench-serving:
	@.ci/packages cyrus-caldav cyrus-imapd sasl2-bin radicale xandikos nginx-light git
	SERVING_PEERS=all SERVING_BEFORE=$(BEFORE) $(GO) test -tags load -count 1 -timeout 40m -run 'TestServing$$' -v ./cmd/outbridge

package: ## what is for this machine: a Debian package, an RPM, an archive and an image, in dist
	@.ci/packages zip
	packaging/dist $(VERSION) dist linux/$$($(GO) env GOARCH)

dist: ## everything that a release consists of, in dist
	@.ci/packages zip
	packaging/dist $(VERSION)

release: ## make release VERSION=1.2.3: see docs/releasing.md
	packaging/release $(VERSION)

screenshots: ## the pictures of the README, from the demo in Chromium
	@.ci/packages chromium nodejs npm
	OUTBRIDGE_IMAGES=$(CURDIR)/docs/images $(GO) test -tags interop -count 1 -run TestScreenshots ./cmd/outbridge

generate:
	$(GO) generate ./...
