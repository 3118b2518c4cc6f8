// Package validate checks the files in deploy by the definitions of those who read them:
// Kubernetes, KServe, BuildKit and, where it is installed, systemd. It is a module of its own,
// since the program needs none of them.
package validate

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/santhosh-tekuri/jsonschema/v6"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	kubeyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// An object is what a document describes.
type object struct{ kind, name string } // as "v1 Service", "destseg"

// read returns the documents of a file.
func read(t *testing.T, path string) map[object][]byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := map[object][]byte{}
	documents := kubeyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		var about metav1.PartialObjectMetadata
		if err := errors.Join(err, yaml.Unmarshal(document, &about)); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		o := object{about.APIVersion + " " + about.Kind, about.Name}
		if _, twice := all[o]; twice {
			t.Errorf("%s: two of %v", path, o)
		}
		all[o] = document
	}
}

// decode reads a document into the type of its kind. A field that the type does not have is
// an error.
func decode(t *testing.T, document []byte, to any) {
	t.Helper()
	if len(document) == 0 {
		t.Fatalf("no %T", to)
	}
	if err := yaml.UnmarshalStrict(document, to); err != nil {
		t.Fatalf("%T: %v", to, err)
	}
}

// checkContainer looks for what hardens a container and keeps it in bounds.
func checkContainer(t *testing.T, c corev1.Container) {
	t.Helper()
	s := c.SecurityContext
	if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem ||
		s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Errorf("security context %+v", s)
	}
	for _, r := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		limit, request := c.Resources.Limits[r], c.Resources.Requests[r]
		if limit.IsZero() || limit.Cmp(request) != 0 {
			t.Errorf("%s: limit %v, request %v", r, &limit, &request)
		}
	}
	ports := map[string]bool{}
	for _, p := range c.Ports {
		ports[p.Name] = true
	}
	for _, probe := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe} {
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Port.StrVal != "" && !ports[probe.HTTPGet.Port.StrVal] {
			t.Errorf("probe %+v; ports %v", probe, ports)
		}
	}
}

func TestKubernetes(t *testing.T) {
	all := read(t, "../kubernetes.yaml")
	var deployment appsv1.Deployment
	var service corev1.Service
	used := []object{{"apps/v1 Deployment", "destseg"}, {"v1 Service", "destseg"}}
	decode(t, all[used[0]], &deployment)
	decode(t, all[used[1]], &service)
	pod := deployment.Spec.Template
	for name, selector := range map[string]map[string]string{"Deployment": deployment.Spec.Selector.MatchLabels, "Service": service.Spec.Selector} {
		if !labels.SelectorFromSet(selector).Matches(labels.Set(pod.Labels)) {
			t.Errorf("%s selects %v, and the pod has %v", name, selector, pod.Labels)
		}
	}
	container := pod.Spec.Containers[0]
	for _, v := range pod.Spec.Volumes {
		if v.PersistentVolumeClaim == nil {
			t.Errorf("volume %s is of no claim", v.Name)
			continue
		}
		claim := object{"v1 PersistentVolumeClaim", v.PersistentVolumeClaim.ClaimName}
		if all[claim] == nil {
			t.Errorf("volume %s is of the claim %s, which is not there", v.Name, claim.name)
			continue
		}
		decode(t, all[claim], new(corev1.PersistentVolumeClaim))
		used = append(used, claim)
		if !slices.ContainsFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == v.Name }) {
			t.Errorf("nothing mounts the volume %s", v.Name)
		}
	}
	for o := range all {
		if !slices.Contains(used, o) {
			t.Errorf("nothing uses %v", o)
		}
	}
	if s := pod.Spec.SecurityContext; s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("security context %+v", s)
	}
	checkContainer(t, container)
	for _, port := range service.Spec.Ports {
		if !slices.ContainsFunc(container.Ports, func(p corev1.ContainerPort) bool { return p.Name == port.TargetPort.StrVal }) {
			t.Errorf("service port %s leads to %s", port.Name, port.TargetPort.StrVal)
		}
	}
}

// kserve is the version whose definitions of resources count.
const kserve = "github.com/kserve/kserve@v0.17.0"

// TestKServe validates by the schemas of KServe's own resources. A field that they do not
// have is an error.
func TestKServe(t *testing.T) {
	out, err := exec.Command("go", "mod", "download", "-json", kserve).Output()
	var module struct{ Dir string }
	if err := errors.Join(err, json.Unmarshal(out, &module)); err != nil {
		t.Skipf("%s can't be had: %v", kserve, err)
	}
	all := read(t, "../kserve.yaml")
	runtimeObject := object{"serving.kserve.io/v1alpha1 ServingRuntime", "destseg"}
	serviceObject := object{"serving.kserve.io/v1beta1 InferenceService", "parts"}
	for o, file := range map[object]string{
		runtimeObject: "serving.kserve.io_servingruntimes.yaml",
		serviceObject: "serving.kserve.io_inferenceservices.yaml",
	} {
		text, err := os.ReadFile(filepath.Join(module.Dir, "config/crd/full", file))
		if err != nil {
			t.Fatal(err)
		}
		var definition struct {
			Spec struct {
				Group    string
				Names    struct{ Kind string }
				Versions []struct {
					Name   string
					Schema struct{ OpenAPIV3Schema map[string]any }
				}
			}
		}
		if err := yaml.Unmarshal(text, &definition); err != nil {
			t.Fatal(err)
		}
		found := false
		for _, v := range definition.Spec.Versions {
			if definition.Spec.Group+"/"+v.Name+" "+definition.Spec.Names.Kind != o.kind {
				continue
			}
			found = true
			if err := validate(t, v.Schema.OpenAPIV3Schema, all[o]); err != nil {
				t.Errorf("%s: %v", o.kind, err)
			}
			wrong := bytes.Replace(all[o], []byte("spec:"), []byte("spec:\n  nothing: 1"), 1)
			if err := validate(t, v.Schema.OpenAPIV3Schema, wrong); err == nil {
				t.Errorf("%s: a field that there is not is not found", o.kind)
			}
		}
		if !found {
			t.Errorf("%s does not define %s", file, o.kind)
		}
	}
	var runtime struct {
		Metadata struct{ Name string }
		Spec     struct {
			SupportedModelFormats []struct{ Name string }
			ProtocolVersions      []string
			Containers            []corev1.Container
		}
	}
	var service struct {
		Spec struct {
			Predictor struct {
				Model struct {
					ModelFormat              struct{ Name string }
					Runtime, ProtocolVersion string
				}
			}
		}
	}
	if err := errors.Join(yaml.Unmarshal(all[runtimeObject], &runtime), yaml.Unmarshal(all[serviceObject], &service)); err != nil {
		t.Fatal(err)
	}
	model := service.Spec.Predictor.Model
	if model.Runtime != runtime.Metadata.Name || model.ModelFormat.Name != runtime.Spec.SupportedModelFormats[0].Name || !slices.Contains(runtime.Spec.ProtocolVersions, model.ProtocolVersion) {
		t.Errorf("the model %+v does not fit the runtime", model)
	}
	container := runtime.Spec.Containers[0]
	checkContainer(t, container)
	if s := container.SecurityContext; !*s.RunAsNonRoot || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("security context %+v", s)
	}
}

// validate checks a document by the schema of its resource, as a server does that knows no
// other fields.
func validate(t *testing.T, schema map[string]any, document []byte) error {
	t.Helper()
	closed := closedSchema(schema).(map[string]any)
	// The server has its own schema for these.
	delete(closed["properties"].(map[string]any), "metadata")
	closed["properties"].(map[string]any)["metadata"] = map[string]any{"type": "object"}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft4)
	if err := compiler.AddResource("resource.json", closed); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("resource.json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := yaml.YAMLToJSON(document)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return compiled.Validate(value)
}

// closedSchema returns a copy of a schema whose objects have no properties but those that
// it names.
func closedSchema(schema any) any {
	switch s := schema.(type) {
	case map[string]any:
		closed := map[string]any{}
		for key, value := range s {
			closed[key] = closedSchema(value)
		}
		_, named := s["properties"].(map[string]any)
		_, open := s["additionalProperties"]
		if keep, _ := s["x-kubernetes-preserve-unknown-fields"].(bool); named && !open && !keep && s["type"] == "object" {
			closed["additionalProperties"] = false
		}
		return closed
	case []any:
		closed := make([]any, len(s))
		for i, value := range s {
			closed[i] = closedSchema(value)
		}
		return closed
	}
	return schema
}

// TestDockerfile parses the file as docker build does, with the linter's rules.
func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range file.Warnings {
		t.Errorf("%s", w.Short)
	}
	stages, _, err := instructions.Parse(file.AST, linter.New(&linter.Config{
		Warn: func(rule, description, _, message string, at []parser.Range) {
			t.Errorf("%v %s: %s (%s)", at, rule, message, description)
		},
	}))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	last := stages[len(stages)-1]
	for _, c := range last.Commands {
		found[c.Name()] = c.(interface{ String() string }).String()
	}
	if !strings.Contains(found["USER"], "65532") || found["HEALTHCHECK"] == "" || found["ENTRYPOINT"] == "" {
		t.Errorf("the last stage: %q", found)
	}
}

// TestSystemd asks systemd itself, which must find nothing to say and little exposure.
func TestSystemd(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	// The unit as it lies on a machine, with something in the program's place.
	root := t.TempDir()
	for path, mode := range map[string]os.FileMode{"etc/systemd/system/destseg.service": 0o644, "usr/local/bin/destseg": 0o755} {
		text := []byte("#!/bin/sh\n")
		if strings.HasSuffix(path, ".service") {
			if text, err = os.ReadFile("../destseg.service"); err != nil {
				t.Fatal(err)
			}
		}
		path = filepath.Join(root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, text, mode)); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"verify", "--man=no", "--recursive-errors=no", "--root=" + root, "destseg.service"},
		{"security", "--offline=yes", "--threshold=15", "--root=" + root, "destseg.service"}, // of 100
	} {
		out, err := exec.Command(analyze, args...).CombinedOutput()
		if err != nil || args[0] == "verify" && len(bytes.TrimSpace(out)) > 0 {
			t.Errorf("systemd-analyze %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
		t.Logf("%s: %s", args[0], lines[len(lines)-1])
	}
}
