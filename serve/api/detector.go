package api

import (
	"encoding/json"
	"time"
)

// A Card tells what is known about a detector.
type Card struct {
	Name     string     `json:"name" doc:"By which requests name it: its file's, without .safetensors"`
	Digest   string     `json:"digest,omitempty" doc:"SHA-256 of its file, hexadecimal; absent while it is not in memory"`
	Bytes    int64      `json:"bytes" doc:"Size of its file"`
	Modified time.Time  `json:"modified" doc:"When its file was written"`
	State    string     `json:"state" enum:"idle,loading,ready,failed" doc:"idle: it is loaded by the first request"`
	Memory   int64      `json:"memory,omitempty" doc:"Bytes that it takes while it is loaded, about"`
	Error    string     `json:"error,omitempty" doc:"Why it cannot be used, if so"`
	Category string     `json:"category,omitempty" doc:"What the pictures show, as its maker calls it"`
	Created  *time.Time `json:"created,omitempty" doc:"When it was trained"`
	Program  string     `json:"program,omitempty" doc:"Version of the program that trained it"`
	Width    int        `json:"width,omitempty" doc:"Of pictures as the networks see them, in pixels"`
	Height   int        `json:"height,omitempty" doc:"Of pictures as the networks see them, in pixels"`
	// Threshold and PixelThreshold are nil for a detector without.
	Threshold      *float64 `json:"threshold,omitempty" doc:"Largest score of a good picture"`
	PixelThreshold *float64 `json:"pixel_threshold,omitempty" doc:"Largest value of the anomaly map at a good place"`
	// Record is the detector's whole record in JSON, a destseg.Record, absent from lists.
	Record json.RawMessage `json:"record,omitempty" doc:"Everything that is known about it: recipe, calibration, metrics, as in its file"`
}

// States of a detector.
const (
	Idle    = "idle"
	Loading = "loading"
	Ready   = "ready"
	Failed  = "failed"
)

// Detectors is the list of all detectors, by name.
type Detectors struct {
	Detectors []Card `json:"detectors"`
}
