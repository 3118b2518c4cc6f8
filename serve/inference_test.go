package serve

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/destseg/destseg"
	"github.com/destseg/destseg/internal/detectortest"
	"github.com/destseg/destseg/picture"
	"github.com/destseg/destseg/serve/api"
	"github.com/destseg/destseg/serve/host"
	pb "github.com/destseg/destseg/serve/oip/inferencepb"
)

// sources is a [Recorder] of what clients call their pictures.
type sources struct {
	names []string
	fault bool
}

func (s *sources) Record(_ context.Context, in *api.Inspection, _ *picture.RGB, _ *destseg.Inspection) error {
	if s.fault {
		panic("on purpose")
	}
	s.names = append(s.names, in.Source)
	return nil
}

// TestInference takes pictures over the Open Inference Protocol to a detector, with the
// service's tokens, limits, queue and history.
func TestInference(t *testing.T) {
	folder := t.TempDir()
	if err := os.Link(filepath.Join(detectors, "flange.safetensors"), filepath.Join(folder, "screw.safetensors")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "broken.safetensors"), []byte("no detector"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := host.New(host.Options{Sources: []string{folder}, Queue: 2, Batch: 1, Options: []destseg.Option{destseg.WithEngine(detectortest.Stub{})}})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	const token = "0123456789abcdef"
	var tokens Tokens
	if err := tokens.Add(Read, token); err != nil {
		t.Fatal(err)
	}
	limits := DefaultLimits()
	limits.Pixels, limits.Body = 2000, 1<<20
	var kept sources
	s := New(Config{Host: h, Limits: limits, Tokens: tokens, Recorder: &kept})
	server := httptest.NewServer(s)
	defer server.Close()

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.NewGRPC(nil).Serve(ctx, l, time.Minute) }()
	connection, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	client := pb.NewGRPCInferenceServiceClient(connection)
	withToken := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)

	// ask returns the status, the header and the JSON value of an answer.
	ask := func(method, path, body, token string) (int, http.Header, any) {
		t.Helper()
		r, err := http.NewRequest(method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		var value any
		if err := json.Unmarshal(text, &value); err != nil {
			t.Fatalf("%s %s: %d %q: %v", method, path, response.StatusCode, text, err)
		}
		return response.StatusCode, response.Header, value
	}
	p := picture.NewRGB(40, 24)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range p.Pix {
		p.Pix[i] = uint8(r.UintN(256))
	}
	var file bytes.Buffer
	if err := png.Encode(&file, p.Image()); err != nil {
		t.Fatal(err)
	}
	input := func(datatype, shape, data string) string {
		return fmt.Sprintf(`{"id":"part 7","inputs":[{"name":"image","datatype":%q,"shape":%s,"data":%s}],"outputs":[{"name":"score"},{"name":"threshold"},{"name":"anomalous"},{"name":"regions"}]}`, datatype, shape, data)
	}
	request := input("BYTES", "[1]", `["`+base64.StdEncoding.EncodeToString(file.Bytes())+`"]`)

	t.Run("tokens", func(t *testing.T) {
		for _, c := range []struct {
			method, path, token string
			status              int
		}{
			{"GET", "/v2/health/live", "", 200},
			{"GET", "/v2", "", 401},
			{"GET", "/v2/models/screw", "wrong", 401},
			{"POST", "/v2/models/screw/infer", "", 401},
			{"POST", "/v2/repository/index", "", 401},
			{"GET", "/v2/models/screw", token, 200},
		} {
			code, header, value := ask(c.method, c.path, request, c.token)
			_, isError := value.(map[string]any)["error"]
			if code != c.status || isError != (c.status != 200) || (header.Get("WWW-Authenticate") != "") != (c.status == 401) {
				t.Errorf("%s %s with token %q: %d %v %v", c.method, c.path, c.token, code, header, value)
			}
		}
		_, err := client.ModelMetadata(t.Context(), &pb.ModelMetadataRequest{Name: "screw"})
		if status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), "a token is needed") {
			t.Errorf("gRPC without a token: %v", err)
		}
		if _, err := client.ModelMetadata(withToken, &pb.ModelMetadataRequest{Name: "screw"}); err != nil {
			t.Errorf("gRPC with a token: %v", err)
		}
	})

	t.Run("readiness", func(t *testing.T) {
		notReady := map[string]any{"live": true, "ready": false}
		if code, _, value := ask("GET", "/v2/health/ready", "", ""); code != 503 || !reflect.DeepEqual(value, notReady) {
			t.Errorf("the server: %d %v", code, value)
		}
		for name, want := range map[string]int{"screw": 200, "broken": 503, "nobody": 404, "..%2fscrew": 404} {
			if code, _, value := ask("GET", "/v2/models/"+name+"/ready", "", token); code != want {
				t.Errorf("%s: %d %v, want %d", name, code, value, want)
			}
		}
	})

	t.Run("answers", func(t *testing.T) {
		_, _, plain := ask("POST", "/v1/inspect?detector=screw", file.String(), token)
		want := plain.(map[string]any)
		code, _, value := ask("POST", "/v2/models/screw/infer", request, token)
		if code != 200 {
			t.Fatalf("%d %v", code, value)
		}
		response := value.(map[string]any)
		if digest := response["parameters"].(map[string]any)["digest"]; digest != want["detector"].(map[string]any)["digest"] {
			t.Errorf("digest %v", digest)
		}
		var got []any
		for _, out := range response["outputs"].([]any) {
			got = append(got, out.(map[string]any)["data"].([]any)[0])
		}
		if got[0] != want["score"] || got[1] != want["threshold"] || got[2] != (want["verdict"] == "NG") {
			t.Errorf("%v, and version 1 says %v", got[:3], want)
		}
		var regions any
		if err := json.Unmarshal([]byte(got[3].(string)), &regions); err != nil || !reflect.DeepEqual(regions, want["regions"]) || len(regions.([]any)) == 0 {
			t.Errorf("regions %v, and version 1 says %v", regions, want["regions"])
		}
		answer, err := client.ModelInfer(withToken, &pb.ModelInferRequest{
			ModelName: "screw", Id: "part 8", RawInputContents: [][]byte{p.Pix},
			Inputs: []*pb.ModelInferRequest_InferInputTensor{{Name: "image", Datatype: "UINT8", Shape: []int64{1, 24, 40, 3}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if score := math.Float64frombits(binary.LittleEndian.Uint64(answer.RawOutputContents[0])); answer.Outputs[0].Name != "score" || score != want["score"] {
			t.Errorf("gRPC: %s %v", answer.Outputs[0].Name, score)
		}
		if !reflect.DeepEqual(kept.names, []string{"", "part 7", "part 8"}) {
			t.Errorf("recorded %q", kept.names)
		}
	})

	t.Run("refusals", func(t *testing.T) {
		for _, c := range []struct {
			path, body string
			status     int
			want       string
		}{
			{"nobody", request, 404, "no such detector"},
			{"..%2fscrew", request, 404, "no such detector"},
			{"broken", request, 503, "can't be used"},
			{"screw", input("BYTES", "[1]", `["aGVsbG8sIHdvcmxkIQ=="]`), 400, "not a picture"},
			{"screw", input("UINT8", "[1,1,2001,3]", "["+strings.Repeat("0,", 6002)+"0]"), 413, "2001×1 pixels"},
			{"screw", strings.Repeat(" ", 1<<20+1), 413, "at most 1048576"},
		} {
			code, _, value := ask("POST", "/v2/models/"+c.path+"/infer", c.body, token)
			told, _ := value.(map[string]any)
			if text := fmt.Sprint(told["error"]); code != c.status || len(told) != 1 || !strings.Contains(text, c.want) || strings.Contains(text, folder) {
				t.Errorf("%s: %d %v; want %d, %q", c.path, code, value, c.status, c.want)
			}
		}
	})

	t.Run("a fault", func(t *testing.T) {
		kept.fault = true
		defer func() { kept.fault = false }()
		code, _, value := ask("POST", "/v2/models/screw/infer", request, token)
		if text := fmt.Sprint(value); code != 500 || !strings.Contains(text, "log tells why") || strings.Contains(text, "on purpose") {
			t.Errorf("%d %v", code, value)
		}
	})

	t.Run("a full queue", func(t *testing.T) {
		var places []*host.Place
		for {
			place, err := h.Enter()
			if err != nil {
				break
			}
			places = append(places, place)
		}
		code, header, value := ask("POST", "/v2/models/screw/infer", request, token)
		if code != 429 || header.Get("Retry-After") != "1" {
			t.Errorf("%d %v %v", code, header, value)
		}
		for _, place := range places {
			place.Leave()
		}
	})

	t.Run("metrics", func(t *testing.T) {
		families, err := s.metrics.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		counted, routes := map[string]float64{}, map[string]bool{}
		for _, f := range families {
			if f.GetName() == "destseg_http_requests_total" {
				for _, m := range f.GetMetric() {
					routes[m.GetLabel()[0].GetValue()] = true
				}
			}
			if f.GetName() == "destseg_grpc_requests_total" {
				for _, m := range f.GetMetric() {
					counted[m.GetLabel()[1].GetValue()+" "+m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
				}
			}
		}
		if want := map[string]float64{"ModelMetadata Unauthenticated": 1, "ModelMetadata OK": 1, "ModelInfer OK": 1}; !reflect.DeepEqual(counted, want) {
			t.Errorf("%v, want %v", counted, want)
		}
		for _, want := range []string{"/v2/models/{model}", "/v2/models/{model}/infer"} {
			if !routes[want] {
				t.Errorf("no metric of %s among %v", want, routes)
			}
		}
	})

	t.Run("the end", func(t *testing.T) {
		s.ending.Store(true)
		if code, _, value := ask("POST", "/v2/repository/index", "", token); code != 503 || !strings.Contains(fmt.Sprint(value), "shutting down") {
			t.Errorf("%d %v", code, value)
		}
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}
