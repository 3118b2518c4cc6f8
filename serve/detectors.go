package serve

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/destseg/destseg/serve/api"
)

type nameInput struct {
	Name string `path:"name" doc:"The detector's name"`
}

type cardOutput struct {
	Body api.Card
}

type listOutput struct {
	Body api.Detectors
}

func (s *Server) describeDetectors(v1 huma.API) {
	h := s.config.Host
	huma.Register(v1, s.operation(Read, huma.Operation{
		OperationID: "detectors", Method: http.MethodGet, Path: "/v1/detectors",
		Summary: "List the detectors", Errors: []int{http.StatusInternalServerError},
	}), func(ctx context.Context, _ *struct{}) (*listOutput, error) {
		cards, err := h.Cards()
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		return &listOutput{api.Detectors{Detectors: cards}}, nil
	})
	card := func(ctx context.Context, in *nameInput) (*cardOutput, error) {
		card, err := h.Card(in.Name)
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		return &cardOutput{card}, nil
	}
	huma.Register(v1, s.operation(Read, huma.Operation{
		OperationID: "detector", Method: http.MethodGet, Path: "/v1/detectors/{name}",
		Summary: "Tell all about a detector", Errors: []int{http.StatusNotFound},
	}), card)
	huma.Register(v1, s.operation(Admin, huma.Operation{
		OperationID: "load", Method: http.MethodPost, Path: "/v1/detectors/{name}/load",
		Summary: "Read a detector before the first picture comes", Errors: []int{http.StatusNotFound, http.StatusServiceUnavailable},
	}), func(ctx context.Context, in *nameInput) (*cardOutput, error) {
		if err := h.Load(ctx, in.Name); err != nil {
			return nil, s.fail(ctx, err)
		}
		return card(ctx, in)
	})
	huma.Register(v1, s.operation(Admin, huma.Operation{
		OperationID: "unload", Method: http.MethodPost, Path: "/v1/detectors/{name}/unload",
		Summary: "Free a detector's memory until the next picture for it comes", Errors: []int{http.StatusNotFound},
	}), func(ctx context.Context, in *nameInput) (*cardOutput, error) {
		if err := h.Unload(in.Name); err != nil {
			return nil, s.fail(ctx, err)
		}
		return card(ctx, in)
	})
}
