package web

import (
	"encoding/json"
	"io"
	"net/http"

	"outbridge/bridge"
)

// maxNotifications bounds one delivery of Graph, which is some hundred bytes for each change.
const maxNotifications = 4 << 20

// notify is the URL that Graph posts change and lifecycle notifications to. It answers at once: what is to be done is
// only marked (learn.microsoft.com/graph/change-notifications-delivery-webhooks: within 3 seconds, the validation
// within 10). Who sends is proven by each item's clientState.
func (h *Handler) notify(w http.ResponseWriter, r *http.Request) {
	if token := r.URL.Query().Get("validationToken"); token != "" {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		plain(w, http.StatusOK, token)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxNotifications))
	if err != nil {
		plain(w, http.StatusRequestEntityTooLarge, "too large\n")
		return
	}
	var delivery struct {
		Value []bridge.Notification `json:"value"`
	}
	if err := json.Unmarshal(body, &delivery); err != nil {
		plain(w, http.StatusBadRequest, "not a notification\n")
		return
	}
	h.Notify(delivery.Value)
	w.WriteHeader(http.StatusAccepted)
}
