package web

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"outbridge/bridge"
)

// Bounds of one delivery of Graph, which anybody may send. A notification is some hundred octets for each change.
const (
	maxDelivery      = 4 << 20 // octets
	maxNotifications = 10_000
	maxNotification  = 16 << 10 // octets
	maxNamed         = 256      // octets of an id or a clientState; Graph takes 128 characters of the latter
	// notifyBatch is how many are handed on at once: no delivery is ever held as a whole.
	notifyBatch = 100
	// maxDeliveries are read at once, by which a sender who takes its time can hold some 20 MB; Graph sends a refused one again.
	maxDeliveries = 256
	deliveryTime  = 20 * time.Second
)

var (
	errDelivery = errors.New("not a delivery of notifications")
	errTooLarge = errors.New("the delivery is too large")
)

// notify is the URL that Graph posts change and lifecycle notifications to. It answers at once: what is to be done is
// only marked (learn.microsoft.com/graph/change-notifications-delivery-webhooks: within 3 seconds, the validation
// within 10). Who sends is proven by each item's clientState, so those before a fault in the body count.
func (h *Handler) notify(w http.ResponseWriter, r *http.Request) {
	if token := r.URL.Query().Get("validationToken"); token != "" {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		plainText(w, http.StatusOK, token)
		return
	}
	select {
	case h.deliveries <- struct{}{}:
		defer func() { <-h.deliveries }()
	default:
		w.Header().Set("Retry-After", "10")
		plainText(w, http.StatusServiceUnavailable, "too many deliveries at once\n")
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(deliveryTime)) // what cannot have one is no connection
	err := readDelivery(http.MaxBytesReader(w, r.Body, maxDelivery), h.Notify)
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		w.WriteHeader(http.StatusAccepted)
	case errors.As(err, &tooLarge), errors.Is(err, errTooLarge):
		plainText(w, http.StatusRequestEntityTooLarge, "too large\n")
	default:
		plainText(w, http.StatusBadRequest, "not a notification\n")
	}
}

// readDelivery reads {"value":[notification, ...]} and hands the notifications on in batches. It holds one batch and one
// value of the text, however long that is.
func readDelivery(body io.Reader, notify func([]bridge.Notification)) error {
	d := &deliveryReader{body: body}
	d.json = json.NewDecoder(d)
	defer func() { d.hand(notify) }()
	if err := d.delim('{'); err != nil {
		return err
	}
	for d.more() {
		name, err := d.token()
		if err != nil {
			return err
		}
		if name != "value" {
			var ignored json.RawMessage
			if err := d.decode(&ignored); err != nil {
				return err
			}
			continue
		}
		if err := d.list(notify); err != nil {
			return err
		}
	}
	if err := d.delim('}'); err != nil {
		return err
	}
	if _, err := d.token(); !errors.Is(err, io.EOF) {
		return errDelivery
	}
	return nil
}

// deliveryReader decodes a delivery. As the decoder's own reader it refuses to read on where one value takes too much.
type deliveryReader struct {
	body  io.Reader
	json  *json.Decoder
	left  int // octets that may be read for the present value
	items int
	batch []bridge.Notification
}

func (d *deliveryReader) Read(p []byte) (int, error) {
	if d.left <= 0 {
		return 0, errTooLarge
	}
	n, err := d.body.Read(p[:min(len(p), d.left)])
	d.left -= n
	return n, err
}

func (d *deliveryReader) token() (json.Token, error) {
	d.left = maxNotification
	return d.json.Token()
}

func (d *deliveryReader) decode(v any) error {
	d.left = maxNotification
	return d.json.Decode(v)
}

func (d *deliveryReader) more() bool {
	d.left = maxNotification
	return d.json.More()
}

func (d *deliveryReader) delim(want json.Delim) error {
	t, err := d.token()
	if err == nil && t != want {
		err = errDelivery
	}
	return err
}

// list reads the value of "value"; null is an empty one.
func (d *deliveryReader) list(notify func([]bridge.Notification)) error {
	t, err := d.token()
	if err != nil || t == nil {
		return err
	}
	if t != json.Delim('[') {
		return errDelivery
	}
	for d.more() {
		var n bridge.Notification
		if err := d.decode(&n); err != nil {
			return err
		}
		if d.items++; d.items > maxNotifications {
			return errTooLarge
		}
		if n.SubscriptionID == "" || max(len(n.SubscriptionID), len(n.ClientState), len(n.LifecycleEvent)) > maxNamed {
			continue // it cannot be of a subscription of ours
		}
		if d.batch = append(d.batch, n); len(d.batch) == notifyBatch {
			d.hand(notify)
		}
	}
	return d.delim(']')
}

func (d *deliveryReader) hand(notify func([]bridge.Notification)) {
	if len(d.batch) > 0 {
		notify(d.batch)
		d.batch = nil
	}
}
