package web

import (
	"encoding/json"
	"io"
	"net/http"

	"outbridge/bridge"
)

// maxNotifications bounds one delivery from Graph, which has a few hundred bytes for each change.
const maxNotifications = 4 << 20

// notify takes the change and lifecycle notifications that Graph posts. It answers at once and only wakes those who do the
// work: Graph wants an answer within 3 seconds, and to a validation within 10
// (learn.microsoft.com/graph/change-notifications-delivery-webhooks). The clientState of each item proves who sent it.
func (h *Handler) notify(w http.ResponseWriter, r *http.Request) {
	if token := r.URL.Query().Get("validationToken"); token != "" {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		plainText(w, http.StatusOK, token)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxNotifications))
	if err != nil {
		plainText(w, http.StatusRequestEntityTooLarge, "too large\n")
		return
	}
	var delivery struct {
		Value []bridge.Notification `json:"value"`
	}
	if err := json.Unmarshal(body, &delivery); err != nil {
		plainText(w, http.StatusBadRequest, "not a notification\n")
		return
	}
	h.Notify(delivery.Value)
	w.WriteHeader(http.StatusAccepted)
}
