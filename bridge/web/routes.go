package web

import "net/http"

// routes are all pages, and who may have each. One that does not say so is refused, and so is an account's page that is asked for by
// somebody whom it does not concern; see access.
var routes = map[string]route{
	"GET /{$}":                 {who: open, page: front},
	"GET /setup":               {who: open, page: setupForm},
	"POST /setup":              {who: open, page: setup},
	"GET /sign-in":             {who: open, page: signInForm},
	"POST /sign-in":            {who: open, page: signIn},
	"GET /sign-in/microsoft":   {who: open, page: signInMicrosoft},
	"GET /auth/callback":       {who: open, page: signInBack},
	"GET /profile/{name}":      {who: open, page: takeProfile},
	"GET /invitation/{secret}": {who: open, page: invitationForm},

	"POST /invitation/{secret}":          {who: open, page: acceptInvitation},
	"GET /invitation/{secret}/microsoft": {who: open, page: invitationMicrosoft},

	"POST /sign-out":               {who: signedIn, page: signOut},
	"GET /settings":                {who: signedIn, page: settings},
	"POST /settings/password":      {who: signedIn, page: changePassword},
	"POST /settings/sign-out":      {who: signedIn, page: signOutEverywhere},
	"POST /settings/sessions/{id}": {who: signedIn, page: endSession},
	"GET /connect":                 {who: signedIn, page: connectMailboxForm},
	"POST /connect":                {who: signedIn, page: connectOwn},
	"GET /connect/microsoft":       {who: signedIn, page: connectMailbox},

	"POST /settings/notify":             {who: administrators, page: addTarget},
	"POST /settings/notify/{id}/test":   {who: administrators, page: testTarget},
	"POST /settings/notify/{id}/remove": {who: administrators, page: removeTarget},
	"GET /settings/sync":                {who: administrators, page: syncOptions},
	"POST /settings/sync":               {who: administrators, page: setSync},
	"GET /app":                          {who: administrators, page: appForm},
	"POST /app":                         {who: administrators, page: setApp},
	"GET /new-account":                  {who: administrators, page: newAccountForm},
	"POST /new-account":                 {who: administrators, page: addAccount},
	"GET /people":                       {who: administrators, page: people},
	"POST /people/invitations":          {who: administrators, page: invite},
	"POST /people/invitations/{id}/end": {who: administrators, page: endInvitation},
	"GET /people/{id}/remove":           {who: administrators, page: removePersonForm},
	"POST /people/{id}/remove":          {who: administrators, page: removePerson},
	"GET /record":                       {who: administrators, page: recordPage},
	"GET /accounts/{user}/remove":       {who: administrators, of: removeAccountForm},
	"POST /accounts/{user}/remove":      {who: administrators, of: removeAccount},
	"GET /accounts/{user}/options":      {who: administrators, of: accountOptions},
	"POST /accounts/{user}/options":     {who: administrators, of: setAccountOptions},
	"POST /accounts/{user}/changes":     {who: administrators, of: setPolicy},

	"GET /accounts/{user}":                        {who: concerned, of: accountPage},
	"GET /accounts/{user}/state":                  {who: concerned, of: accountState},
	"GET /accounts/{user}/progress":               {who: concerned, of: accountProgress},
	"GET /accounts/{user}/history/{calendar}":     {who: concerned, of: historyPage},
	"POST /accounts/{user}/sync":                  {who: concerned, of: syncNow},
	"GET /accounts/{user}/sign-in":                {who: concerned, of: signInChoice},
	"POST /accounts/{user}/sign-in":               {who: concerned, of: signInDevice},
	"POST /accounts/{user}/sign-in/cancel":        {who: concerned, of: signInCancel},
	"GET /accounts/{user}/sign-in/state":          {who: concerned, of: signInState},
	"GET /accounts/{user}/sign-in/browser":        {who: concerned, of: signInBrowser},
	"GET /accounts/{user}/passwords":              {who: concerned, of: passwords},
	"GET /accounts/{user}/passwords/{id}/revoke":  {who: concerned, of: revokePasswordForm},
	"POST /accounts/{user}/passwords/{id}/revoke": {who: concerned, of: revokePassword},
	"GET /accounts/{user}/feeds":                  {who: concerned, of: feeds},
	"GET /accounts/{user}/feeds/{id}/remove":      {who: concerned, of: removeFeedForm},
	"POST /accounts/{user}/feeds/{id}/remove":     {who: concerned, of: removeFeed},
	"GET /accounts/{user}/changes":                {who: concerned, of: changes},
	"POST /accounts/{user}/changes/resume":        {who: concerned, of: resumeWrites},
	"GET /accounts/{user}/connect":                {who: concerned, of: connect},
	"GET /accounts/{user}/compare":                {who: concerned, of: comparePage},
	"POST /accounts/{user}/compare":               {who: concerned, of: compareNow},
	"GET /accounts/{user}/compare/state":          {who: concerned, of: compareState},

	"POST /accounts/{user}/passwords":         {who: owning, of: addPassword},
	"POST /accounts/{user}/feeds":             {who: owning, of: addFeed},
	"GET /accounts/{user}/feeds/{id}":         {who: owning, of: changeFeedForm},
	"POST /accounts/{user}/feeds/{id}":        {who: owning, of: changeFeed},
	"POST /accounts/{user}/feeds/{id}/show":   {who: owning, of: showFeed},
	"GET /accounts/{user}/feeds/{id}/rotate":  {who: owning, of: rotateFeedForm},
	"POST /accounts/{user}/feeds/{id}/rotate": {who: owning, of: rotateFeed},
	"POST /accounts/{user}/profile":           {who: owning, of: makeProfile},

	"GET /calendars/{user}":             {who: reading, of: calendarPage},
	"GET /calendars/{user}/events.json": {who: reading, of: eventsJSON},
	"GET /calendars/{user}/{calendar}":  {who: reading, of: calendarPage},

	"GET /calendars/{user}/{calendar}/{object}":        {who: reading, of: eventPage},
	"GET /calendars/{user}/{calendar}/{object}/file":   {who: reading, of: eventFile},
	"GET /calendars/{user}/{calendar}/{object}/origin": {who: reading, of: eventOrigin},
}

// pages adds the pages to the mux.
func (h *Handler) pages() {
	h.assets = loadAssets()
	h.templates = h.loadTemplates()
	h.crossOrigin = http.NewCrossOriginProtection()
	if err := h.crossOrigin.AddTrustedOrigin(h.origin()); err != nil {
		h.log().Debug("public_url is no origin", "err", err)
	}
	for path := range h.assets {
		h.handle("GET "+path, h.serveAsset)
	}
	if h.Accounts == nil {
		h.handle("GET /{$}", h.anybody(front))
		return
	}
	for pattern, r := range routes {
		h.handle(pattern, h.anybody(r.serve))
	}
}

// handle adds to the mux what is no page of routes, or is one that decides for itself whom it serves.
func (h *Handler) handle(pattern string, serve http.HandlerFunc) {
	h.patterns = append(h.patterns, pattern)
	h.mux.HandleFunc(pattern, serve)
}
