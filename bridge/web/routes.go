package web

import "net/http"

// pages adds the pages to the mux.
func (h *Handler) pages() {
	h.assets = loadAssets()
	h.templates = h.loadTemplates()
	h.crossOrigin = http.NewCrossOriginProtection()
	if err := h.crossOrigin.AddTrustedOrigin(h.origin()); err != nil {
		h.log().Debug("public_url is no origin", "err", err)
	}
	for path := range h.assets {
		h.mux.HandleFunc("GET "+path, h.serveAsset)
	}
	h.mux.HandleFunc("GET /{$}", h.anybody(front))
	if h.Accounts == nil {
		return
	}
	for pattern, serve := range map[string]func(*visit) error{
		"GET /setup":          setupForm,
		"POST /setup":         setup,
		"GET /sign-in":        signInForm,
		"POST /sign-in":       signIn,
		"GET /auth/callback":  signInBack,
		"GET /profile/{name}": takeProfile,
	} {
		h.mux.HandleFunc(pattern, h.anybody(serve))
	}
	for pattern, serve := range map[string]func(*visit) error{
		"POST /sign-out":                    signOut,
		"GET /settings":                     settings,
		"POST /settings/password":           changePassword,
		"POST /settings/sign-out":           signOutEverywhere,
		"POST /settings/sessions/{id}":      endSession,
		"POST /settings/notify":             addTarget,
		"POST /settings/notify/{id}/test":   testTarget,
		"POST /settings/notify/{id}/remove": removeTarget,
		"GET /app":                          appForm,
		"POST /app":                         setApp,
		"GET /new-account":                  newAccountForm,
		"POST /new-account":                 addAccount,
		"GET /settings/sync":                syncOptions,
		"POST /settings/sync":               setSync,

		"GET /accounts/{user}/sign-in/browser": signInBrowser,
	} {
		h.mux.HandleFunc(pattern, h.admin(serve))
	}
	for pattern, serve := range map[string]func(*visit, Account) error{
		"GET /accounts/{user}":                        accountPage,
		"GET /accounts/{user}/state":                  accountState,
		"GET /accounts/{user}/progress":               accountProgress,
		"GET /accounts/{user}/history/{calendar}":     historyPage,
		"POST /accounts/{user}/sync":                  syncNow,
		"GET /accounts/{user}/remove":                 removeAccountForm,
		"POST /accounts/{user}/remove":                removeAccount,
		"GET /accounts/{user}/sign-in":                signInChoice,
		"POST /accounts/{user}/sign-in":               signInDevice,
		"POST /accounts/{user}/sign-in/cancel":        signInCancel,
		"GET /accounts/{user}/sign-in/state":          signInState,
		"GET /accounts/{user}/passwords":              passwords,
		"POST /accounts/{user}/passwords":             addPassword,
		"GET /accounts/{user}/passwords/{id}/revoke":  revokePasswordForm,
		"POST /accounts/{user}/passwords/{id}/revoke": revokePassword,
		"GET /accounts/{user}/feeds":                  feeds,
		"POST /accounts/{user}/feeds":                 addFeed,
		"GET /accounts/{user}/feeds/{id}":             changeFeedForm,
		"POST /accounts/{user}/feeds/{id}":            changeFeed,
		"POST /accounts/{user}/feeds/{id}/show":       showFeed,
		"GET /accounts/{user}/feeds/{id}/rotate":      rotateFeedForm,
		"POST /accounts/{user}/feeds/{id}/rotate":     rotateFeed,
		"GET /accounts/{user}/feeds/{id}/remove":      removeFeedForm,
		"POST /accounts/{user}/feeds/{id}/remove":     removeFeed,
		"GET /accounts/{user}/changes":                changes,
		"POST /accounts/{user}/changes":               setPolicy,
		"POST /accounts/{user}/changes/resume":        resumeWrites,
		"GET /accounts/{user}/options":                accountOptions,
		"POST /accounts/{user}/options":               setAccountOptions,
		"GET /accounts/{user}/connect":                connect,
		"POST /accounts/{user}/profile":               makeProfile,
		"GET /accounts/{user}/compare":                comparePage,
		"POST /accounts/{user}/compare":               compareNow,
		"GET /accounts/{user}/compare/state":          compareState,
		"GET /calendars/{user}":                       calendarPage,
		"GET /calendars/{user}/events.json":           eventsJSON,
		"GET /calendars/{user}/{calendar}":            calendarPage,

		"GET /calendars/{user}/{calendar}/{object}":        eventPage,
		"GET /calendars/{user}/{calendar}/{object}/file":   eventFile,
		"GET /calendars/{user}/{calendar}/{object}/origin": eventOrigin,
	} {
		h.mux.HandleFunc(pattern, h.admin(ofAccount(serve)))
	}
}
