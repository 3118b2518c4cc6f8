// Package api holds what travels over the inspection service's HTTP interface,
// version 1, as JSON. It computes nothing and needs no engine, so that a client can use
// it without linking one.
package api

import (
	"time"

	"github.com/destseg/destseg/region"
)

// Verdicts of a detector with a threshold.
const (
	OK = "OK"
	NG = "NG" // not good: the score is above the threshold
)

// A Judgement is what a detector says about a picture, in the same words wherever the
// program prints or sends it.
type Judgement struct {
	Score        float64         `json:"score" doc:"Mean of the 100 largest values of the anomaly map, in [0,1]; more is more anomalous"`
	Threshold    *float64        `json:"threshold" doc:"Largest score of a good picture; null if the detector has no threshold"`
	Margin       *float64        `json:"margin" doc:"score − threshold; null without a threshold"`
	Verdict      string          `json:"verdict,omitempty" enum:"OK,NG" doc:"NG (not good) if the score is above the threshold, else OK; absent without a threshold"`
	Width        int             `json:"width" doc:"Of the picture, in pixels"`
	Height       int             `json:"height" doc:"Of the picture, in pixels"`
	Peak         region.Peak     `json:"peak" doc:"Where the anomaly map is highest, in pixels of the picture"`
	Regions      []region.Region `json:"regions" nullable:"true" doc:"Where the anomaly map is above the pixel threshold, the highest first; null without a threshold"`
	Milliseconds float64         `json:"milliseconds" doc:"That the networks took, for all pictures that went through them together"`
}

// An Inspection is the answer to a picture.
type Inspection struct {
	ID       string      `json:"id" doc:"Names this inspection in logs and in the history"`
	Time     time.Time   `json:"time" doc:"When the picture began to arrive, or was found in a watched folder"`
	Source   string      `json:"source,omitempty" doc:"What the client calls the picture, such as a file name; nothing is read from there"`
	Detector DetectorRef `json:"detector" doc:"Which detector judged"`
	Judgement
	Timings Timings `json:"timings" doc:"Where the time went, in milliseconds"`

	Overlay []byte `json:"overlay,omitempty" doc:"PNG: the picture with the map painted over it and regions outlined, if asked for"`
	Mask    []byte `json:"mask,omitempty" doc:"PNG: white in the regions, if asked for"`
	Map     []byte `json:"map,omitempty" doc:"The anomaly map at the picture's size in the format asked for: png16 (0 to 65535 for 0 to 1), tiff or npy (float32)"`
}

// A DetectorRef names a detector and the very file that judged.
type DetectorRef struct {
	Name   string `json:"name" doc:"As in the request"`
	Digest string `json:"digest" doc:"SHA-256 of the detector's file, hexadecimal"`
}

// Timings say where the time of a request went, in milliseconds.
type Timings struct {
	Read     float64 `json:"read" doc:"Receiving the picture"`
	Decode   float64 `json:"decode" doc:"Decoding it"`
	Load     float64 `json:"load" doc:"Waiting for the detector to be read and compiled; 0 if it was"`
	Queue    float64 `json:"queue" doc:"Waiting for a turn and for a run of the networks"`
	Prepare  float64 `json:"prepare" doc:"Resizing the picture before the run and evaluating the map after it"`
	Networks float64 `json:"networks" doc:"The run of the networks"`
	Regions  float64 `json:"regions" doc:"Finding regions"`
	Paint    float64 `json:"paint" doc:"Making overlay, mask and map; 0 if none was asked for"`
	Total    float64 `json:"total" doc:"From the first byte of the request's body, or from when a picture of a watched folder was read, to the answer, without keeping it in the history"`
}
