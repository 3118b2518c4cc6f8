package page

import (
	"net/http"

	"github.com/destseg/destseg/serve/api"
)

// An inspectView is the page that pictures are dropped on.
type inspectView struct {
	Detectors []api.Card
	Chosen    string
}

// inspect is that page.
func (p *Page) inspect(r *http.Request) (made, error) {
	cards, err := p.Detectors.Cards()
	if err != nil {
		return made{}, err
	}
	return p.render("inspect", frame{Title: "Inspect", Here: "inspect"}, inspectView{cards, r.URL.Query().Get("detector")})
}
