package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

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

// Unload takes a detector out of memory as soon as nobody uses it, also one whose file is
// gone. Errors are those of [Host.Check] for one that is not there.
func (h *Host) Unload(name string) error {
	err := h.Check(name)
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.slots[name]
	if s == nil || s.current == nil {
		return err
	}
	h.retire(s)
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
		card, _, err := h.card(name)
		if errors.Is(err, ErrUnknown) {
			continue // gone in between
		}
		if err != nil {
			card = api.Card{Name: name, State: api.Failed, Error: "its file can't be read"}
		}
		cards = append(cards, card)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.glimpses, func(name string, _ glimpse) bool { return !slices.Contains(names, name) })
	return cards, nil
}

// Card tells what is known about a detector, which need not be in memory. If its file was
// replaced by one that can't be used, it tells about the one that goes on, and why. Errors
// wrap [ErrUnknown] or [ErrUnusable].
func (h *Host) Card(name string) (api.Card, error) {
	card, record, err := h.card(name)
	if err == nil && record != nil {
		card.Record, err = json.Marshal(record)
	}
	return card, err
}

// card is [Host.Card], with the record beside the card, or nil if it can't be read.
func (h *Host) card(name string) (api.Card, *destseg.Record, error) {
	found, err := h.find(name)
	if err != nil {
		return api.Card{}, nil, fmt.Errorf("%w: %q", err, name)
	}
	current, failure, loading := h.peek(name, found)
	var record destseg.Record
	if current == nil || failure == nil && !current.stamp.same(found) {
		switch record, err = h.glance(name, found); {
		case err == nil:
			current = nil // it goes with the next picture
		case failure == nil:
			failure = err
		}
	}
	card := api.Card{Name: name, State: api.Idle}
	if failure != nil {
		card.State, card.Error = api.Failed, describe(failure)
	}
	switch {
	case current != nil:
		found, record, err = current.stamp, current.record, nil
		card.State, card.Digest, card.Memory = api.Ready, current.ref.Digest, current.detector.Memory()
	case loading && err == nil:
		card.State = api.Loading
	}
	card.Bytes, card.Modified = found.size, found.modified.UTC()
	if err != nil {
		return card, nil, nil // nothing more is known
	}
	card.Category, card.Program = record.Category, record.Program
	card.Created = &record.Created
	card.Width, card.Height = record.Preprocessing.Width, record.Preprocessing.Height
	if t := record.Threshold; t != nil {
		card.Threshold, card.PixelThreshold = &t.Image, &t.Pixel
	}
	return card, &record, nil
}

// A glimpse is what a file's record was when it was read for a card.
type glimpse struct {
	stamp  stamp
	record destseg.Record
	err    error
}

// glance reads the record of a detector's file, unless it has read it before: health asks for
// all cards, and everybody may ask for health.
func (h *Host) glance(name string, found stamp) (destseg.Record, error) {
	h.mu.Lock()
	g := h.glimpses[name]
	h.mu.Unlock()
	if g.stamp.same(found) {
		return g.record, g.err
	}
	g = glimpse{stamp: found}
	if g.record, g.err = destseg.ReadRecord(found.path); g.err == nil || lasting(g.err) {
		h.mu.Lock()
		h.glimpses[name] = g
		h.mu.Unlock()
	}
	return g.record, g.err
}

// peek returns the detector of a name that is in memory, which may be that of an older
// file than the one that was found, why that one can't be used, if so, and whether one is
// being read.
func (h *Host) peek(name string, found stamp) (current *loaded, failure error, loading bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.slots[name]
	if s == nil {
		return nil, nil, false
	}
	if failed, due := s.fails(found); failed && (s.current != nil || !due) {
		failure = s.failure
	}
	return s.current, failure, s.loading != nil
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
