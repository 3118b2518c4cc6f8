package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/serve/api"
	"github.com/destseg/destseg/weights"
)

// Check reports whether there is a detector of that name, without reading it. Errors
// wrap [ErrUnknown] or [ErrUnusable].
func (h *Host) Check(name string) error {
	if _, err := h.find(name); err != nil {
		return fmt.Errorf("%w: %q", err, name)
	}
	return nil
}

// Load reads a detector if it is not in memory, and waits for it.
func (h *Host) Load(ctx context.Context, name string) error {
	l, err := h.borrow(ctx, name)
	if err != nil {
		return err
	}
	h.giveBack(l)
	return nil
}

// Unload takes a detector out of memory as soon as nobody uses it.
func (h *Host) Unload(name string) error {
	if err := h.Check(name); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.slots[name]; s != nil {
		h.retire(s)
	}
	return nil
}

// Cards tells about all detectors, by name, without their records. Of one that can't be
// read its card says so. Errors are those of folders that can't be read.
func (h *Host) Cards() ([]api.Card, error) {
	names, err := h.Names()
	if err != nil {
		return nil, err
	}
	cards := []api.Card{}
	for _, name := range names {
		card, err := h.Card(name)
		if errors.Is(err, ErrUnknown) {
			continue // gone in between
		}
		if err != nil {
			card = api.Card{Name: name, State: api.Failed, Error: "its file can't be read"}
		}
		card.Record = nil
		cards = append(cards, card)
	}
	return cards, nil
}

// Card tells what is known about a detector, which need not be in memory. Errors wrap
// [ErrUnknown] or [ErrUnusable].
func (h *Host) Card(name string) (api.Card, error) {
	found, err := h.find(name)
	if err != nil {
		return api.Card{}, fmt.Errorf("%w: %q", err, name)
	}
	card := api.Card{Name: name, Bytes: found.size, Modified: found.modified.UTC(), State: api.Idle}
	record, known := h.fill(&card, found)
	if !known {
		if record, err = destseg.ReadRecord(found.path); err != nil {
			card.State, card.Error = api.Failed, describe(err)
			return card, nil
		}
	}
	card.Category, card.Program = record.Category, record.Program
	card.Created = &record.Created
	card.Width, card.Height = record.Preprocessing.Width, record.Preprocessing.Height
	if t := record.Threshold; t != nil {
		card.Threshold, card.PixelThreshold = &t.Image, &t.Pixel
	}
	card.Record, err = json.Marshal(record)
	return card, err
}

// fill completes the card of a file from the detector in memory and returns its record, if
// there is one.
func (h *Host) fill(card *api.Card, found stamp) (record destseg.Record, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.slots[card.Name]
	if s == nil {
		return record, false
	}
	if s.failure != nil && s.failed.same(found) && (lasting(s.failure) || time.Now().Before(s.retry)) {
		card.State, card.Error = api.Failed, describe(s.failure)
	}
	if s.current != nil {
		card.State, card.Digest, card.Memory = api.Ready, s.current.ref.Digest, s.current.detector.Memory()
		record, known = s.current.record, true
	}
	if s.loading != nil {
		card.State = api.Loading
	}
	return record, known
}

// kinds are the errors of files that stay unusable as long as they are what they are.
var kinds = []error{destseg.ErrNotDetector, destseg.ErrNewer, destseg.ErrRecord, destseg.ErrTensors, weights.ErrDamaged, errMemory}

// lasting reports whether an error is one of these. After another one, as of a disk that
// was away, a detector counts as usable again when it is due for the next try: who only
// sends pictures to what is said to be usable would never find out.
func lasting(err error) bool {
	return slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) })
}

// describe says what is wrong with a detector's file, without its path, which is
// nobody's business who asks over a network.
func describe(err error) string {
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	return "its file can't be used; the service's log says why"
}
