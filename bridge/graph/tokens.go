package graph

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

// Errors of a TokenStore.
var (
	ErrTokenChanged = errors.New("the stored token is not the old one")
	ErrNoToken      = errors.New("no token is stored")
)

// TokenStore keeps the token of one account, sealed. It is shared between processes.
type TokenStore interface {
	// LoadToken returns the stored token, or ErrNoToken where nobody has signed in yet.
	LoadToken(ctx context.Context) (*oauth2.Token, error)
	// SaveToken replaces old by new and returns when that is durable. It compares and swaps: where the stored token's
	// RefreshToken is not old's, it changes nothing and returns ErrTokenChanged. A nil old stands for whatever there is.
	SaveToken(ctx context.Context, old, new *oauth2.Token) error
}

// TokenLocker is a TokenStore that keeps processes from renewing one sign-in at the same time. A TokenSource uses it where
// the store has it; SaveToken alone keeps what is stored right, but the login service would see one refresh token twice.
type TokenLocker interface {
	// LockToken takes the renewal of the account's token for the caller, until unlock or for as long as life, whichever is
	// first: the lock dies with its holder. taken is false, and unlock nil, where somebody else has it.
	LockToken(ctx context.Context, life time.Duration) (unlock func(), taken bool, err error)
}

const (
	// renewalLock is longer than a renewal takes: a request of loginTimeout, and as long again to store its outcome.
	renewalLock = 90 * time.Second
	// expiryMargin is how long before its end an access token is renewed: longer than a request takes.
	expiryMargin = 3 * time.Minute
	// refusalHold is how long a final refusal is repeated without asking again: Microsoft locks out who hammers.
	refusalHold = 5 * time.Minute
)

// DelegatedTokens is the TokenSource of an account that a person has signed in. Use one for each account: it refreshes
// one at a time, also between processes where Store is a TokenLocker, and stores a rotated refresh token before it hands out the access token that came with it.
// Authority and Store are required.
type DelegatedTokens struct {
	Authority *Authority
	Store     TokenStore
	Log       *slog.Logger // nil: nothing is logged

	turn    turn
	cache   tokenCache
	refused refusal
}

// AppTokens is the TokenSource of an app that an administrator has let into mailboxes (client credentials). Authority,
// with AppScopes, the tenant and a secret, is required.
type AppTokens struct {
	Authority *Authority

	turn    turn
	cache   tokenCache
	refused refusal
}

// Token returns an access token that is good for some minutes.
func (s *DelegatedTokens) Token(ctx context.Context) (string, error) {
	if err := s.turn.take(ctx); err != nil {
		return "", err
	}
	defer s.turn.give()
	if tok, ok := s.cache.fresh(); ok {
		return tok, nil
	}
	tok, err := s.renew(ctx)
	if err != nil {
		// A renewal that fails for a while does not matter while the old token lasts.
		if last, ok := s.cache.valid(); ok && IsUnavailable(err) {
			return last, nil
		}
		return "", err
	}
	s.cache.set(tok)
	return tok.AccessToken, nil
}

// Invalidate drops an access token that Graph has refused.
func (s *DelegatedTokens) Invalidate(token string) { s.cache.invalidate(token) }

// Reload has the next Token look at the store first: somebody has signed in anew, and the permissions may be others.
func (s *DelegatedTokens) Reload() { s.cache.set(nil) }

// renew takes the stored access token if another process has renewed it, and otherwise spends the refresh token.
func (s *DelegatedTokens) renew(ctx context.Context) (*oauth2.Token, error) {
	stored, unlock, err := s.alone(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	// Each turn of the loop follows a rotation by somebody else, so it ends; the bound is for a broken store.
	for range 5 {
		if s.cache.usable(stored) {
			return stored, nil
		}
		if err := s.refused.of(stored.RefreshToken); err != nil {
			return nil, err
		}
		fresh, err := s.Authority.refresh(ctx, stored.RefreshToken)
		if err != nil {
			var final *AuthError
			if errors.As(err, &final) && final.Code == "invalid_grant" {
				again, loadErr := s.load(ctx)
				if loadErr != nil {
					return nil, loadErr
				}
				if again.RefreshToken != stored.RefreshToken {
					stored = again
					continue
				}
			}
			s.refused.remember(stored.RefreshToken, err)
			return nil, err
		}
		switch err := s.save(ctx, stored, fresh); {
		case err == nil:
			s.log().DebugContext(ctx, "access token renewed", "expires", fresh.Expiry, "rotated", fresh.RefreshToken != stored.RefreshToken)
			return fresh, nil
		case !errors.Is(err, ErrTokenChanged):
			return nil, fmt.Errorf("store the renewed sign-in: %w", err)
		}
		if stored, err = s.load(ctx); err != nil {
			return nil, err
		}
	}
	return nil, &Error{Op: opRenew, Message: "the stored sign-in keeps changing"}
}

// alone returns what is stored once there is nothing to renew, or no other process renews it until unlock.
func (s *DelegatedTokens) alone(ctx context.Context) (stored *oauth2.Token, unlock func(), err error) {
	locker, ok := s.Store.(TokenLocker)
	for {
		stored, err = s.load(ctx)
		if err != nil || !ok || s.cache.usable(stored) || s.refused.of(stored.RefreshToken) != nil {
			return stored, func() {}, err
		}
		unlock, taken, err := locker.LockToken(ctx, renewalLock)
		if err != nil {
			return nil, nil, fmt.Errorf("lock the sign-in: %w", err)
		}
		if taken {
			// It may have been renewed since it was loaded.
			if stored, err = s.load(ctx); err != nil {
				unlock()
			}
			return stored, unlock, err
		}
		if _, ok := s.cache.valid(); ok {
			return nil, nil, &Error{Op: opRenew, Message: "another process is renewing it"}
		}
		if err := sleep(ctx, time.Second); err != nil {
			return nil, nil, err
		}
	}
}

// save stores a rotation even where nobody waits for the access token any more.
func (s *DelegatedTokens) save(ctx context.Context, old, new *oauth2.Token) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return s.Store.SaveToken(ctx, old, new)
}

func (s *DelegatedTokens) load(ctx context.Context) (*oauth2.Token, error) {
	tok, err := s.Store.LoadToken(ctx)
	if errors.Is(err, ErrNoToken) || err == nil && (tok == nil || tok.RefreshToken == "") {
		return nil, newAuthError(opRenew, tokenError{Code: "no_token"})
	}
	if err != nil {
		return nil, fmt.Errorf("load the sign-in: %w", err)
	}
	return tok, nil
}

func (s *DelegatedTokens) log() *slog.Logger {
	if s.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Log
}

// Token returns an access token that is good for some minutes.
func (s *AppTokens) Token(ctx context.Context) (string, error) {
	if err := s.turn.take(ctx); err != nil {
		return "", err
	}
	defer s.turn.give()
	if tok, ok := s.cache.fresh(); ok {
		return tok, nil
	}
	switch s.Authority.Tenant {
	case "", "common", "organizations", "consumers":
		return "", newAuthError(opApp, tokenError{Code: "tenant_required"})
	}
	err := s.refused.of("")
	if err == nil {
		var tok *oauth2.Token
		if tok, err = s.Authority.appToken(ctx); err == nil {
			s.cache.set(tok)
			return tok.AccessToken, nil
		}
		s.refused.remember("", err)
	}
	if last, ok := s.cache.valid(); ok && IsUnavailable(err) {
		return last, nil
	}
	return "", err
}

// Invalidate drops an access token that Graph has refused.
func (s *AppTokens) Invalidate(token string) { s.cache.invalidate(token) }

// turn is a mutex that a context can leave.
type turn struct {
	once sync.Once
	slot chan struct{}
}

func (t *turn) take(ctx context.Context) error {
	t.once.Do(func() { t.slot = make(chan struct{}, 1) })
	select {
	case t.slot <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *turn) give() { <-t.slot }

// tokenCache is the last access token, and the last one that Graph refused.
type tokenCache struct {
	mu  sync.Mutex
	tok *oauth2.Token
	bad string
}

// fresh returns the cached token if it needs no renewal yet.
func (c *tokenCache) fresh() (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.good(c.tok, expiryMargin)
}

// valid returns the cached token if Graph may still take it.
func (c *tokenCache) valid() (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.good(c.tok, 0)
}

// usable reports whether tok, from the store, needs no renewal yet.
func (c *tokenCache) usable(tok *oauth2.Token) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.good(tok, expiryMargin)
	return ok
}

func (c *tokenCache) good(tok *oauth2.Token, margin time.Duration) (string, bool) {
	// A short-lived token is used for the larger part of its life all the same.
	if tok == nil || tok.AccessToken == "" || tok.AccessToken == c.bad {
		return "", false
	}
	if tok.ExpiresIn > 0 {
		margin = min(margin, time.Duration(tok.ExpiresIn)*time.Second/4)
	}
	if !tok.Expiry.IsZero() && !time.Now().Add(margin).Before(tok.Expiry) {
		return "", false
	}
	return tok.AccessToken, true
}

func (c *tokenCache) set(tok *oauth2.Token) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tok = tok
}

func (c *tokenCache) invalidate(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bad = token
}

// refusal repeats what the login service said about a refresh token for as long as it is useless to ask again. A new
// sign-in stores another refresh token, and so is tried at once. It is used in turn.
type refusal struct {
	refreshToken string
	err          error
	until        time.Time
}

func (r *refusal) of(refreshToken string) error {
	if r.err != nil && r.refreshToken == refreshToken && time.Now().Before(r.until) {
		return r.err
	}
	return nil
}

func (r *refusal) remember(refreshToken string, err error) {
	var final *AuthError
	var later *Error
	switch {
	case errors.As(err, &final):
		*r = refusal{refreshToken, err, time.Now().Add(refusalHold)}
	case errors.As(err, &later) && later.RetryAfter > 0:
		*r = refusal{refreshToken, err, time.Now().Add(later.RetryAfter)}
	}
}
