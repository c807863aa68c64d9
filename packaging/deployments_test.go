// Package packaging has the checks of what a bridge is deployed by: the Compose files and the manifests for Kubernetes, read as
// Docker and Kubernetes read them, and held against rules of our own.
package packaging

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// composed reads a Compose file as Docker does, against its schema.
func composed(t *testing.T, text string) (*types.Project, error) {
	t.Helper()
	return loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: t.TempDir(), ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml", Content: []byte(text)}},
		Environment: types.Mapping{"CALENDAR": "calendar.example.com"},
	}, func(o *loader.Options) { o.SetProjectName("outbridge", true) })
}

// composeProblems are what is wrong with a Compose file.
func composeProblems(p *types.Project) (list []string) {
	wrong := func(service, format string, args ...any) {
		list = append(list, service+": "+fmt.Sprintf(format, args...))
	}
	database := false
	for _, s := range p.Services {
		isBridge := strings.HasPrefix(s.Image, "outbridge:")
		_, tag, tagged := strings.Cut(s.Image, ":")
		if !tagged || tag == "" {
			wrong(s.Name, "the image %s has no tag", s.Image)
		}
		if s.Restart != "unless-stopped" {
			wrong(s.Name, "it does not start again")
		}
		if s.Privileged || s.NetworkMode == "host" {
			wrong(s.Name, "it has the rights of the machine")
		}
		for key, value := range s.Environment {
			if name := strings.ToLower(key); value != nil && *value != "" && !strings.HasSuffix(name, "_file") && (strings.Contains(name, "password") || strings.Contains(name, "secret")) {
				wrong(s.Name, "%s is a secret that everybody sees", key)
			}
		}
		for _, secret := range s.Secrets {
			if p.Secrets[secret.Source].File == "" {
				wrong(s.Name, "the secret %s is no file", secret.Source)
			}
		}
		if len(s.Ports) > 0 && s.Name != "caddy" {
			wrong(s.Name, "it is published")
		}
		if isBridge {
			if !s.ReadOnly || !slices.Contains(s.CapDrop, "ALL") || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.MemLimit == 0 {
				wrong(s.Name, "it is not confined")
			}
			if !slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Type == types.VolumeTypeVolume && v.Target == "/data" }) {
				wrong(s.Name, "it keeps nothing")
			}
		}
		database = database || strings.HasPrefix(s.Image, "postgres:")
	}
	if !database {
		return list
	}
	bridges := 0
	for _, s := range p.Services {
		if s.HealthCheck == nil || len(s.HealthCheck.Test) == 0 || s.HealthCheck.Disable {
			wrong(s.Name, "nobody asks how it fares")
		}
		if !strings.HasPrefix(s.Image, "outbridge:") {
			continue
		}
		bridges++
		waits := false
		for name, on := range s.DependsOn {
			waits = waits || on.Condition == types.ServiceConditionHealthy && strings.HasPrefix(p.Services[name].Image, "postgres:")
		}
		if !waits {
			wrong(s.Name, "it does not wait for the database")
		}
		if u := s.Environment["OUTBRIDGE_DATABASE"]; u == nil || !strings.HasPrefix(*u, "postgres://") || strings.Contains(strings.TrimPrefix(*u, "postgres://outbridge@"), "@") {
			wrong(s.Name, "its database is no PostgreSQL, or has its password in the address")
		}
		if !strings.Contains(p.Configs["caddyfile"].Content, s.Name+":8080") {
			wrong(s.Name, "Caddy sends nothing to it")
		}
		for name := range s.Networks {
			if of, there := p.Services["database"].Networks[name]; there && !p.Networks[name].Internal {
				wrong(s.Name, "the network %s of the database is open (%v)", name, of)
			}
		}
	}
	if bridges < 2 {
		wrong("compose", "%d bridges", bridges)
	}
	return list
}

func TestCompose(t *testing.T) {
	for _, file := range []string{"compose.yaml", "compose.postgres.yaml"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p, err := composed(t, string(b))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, problem := range composeProblems(p) {
			t.Errorf("%s: %s", file, problem)
		}
	}
	good, err := os.ReadFile("compose.postgres.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"an unknown key":                {"restart: unless-stopped", "restarts: unless-stopped"},
		"a key of another type":         {"read_only: true", "read_only: [yes]"},
		"a volume that is not declared": {"- outbridge-2:/data", "- outbridge-3:/data"},
		"a service that is not there":   {"    depends_on:\n      - outbridge-1\n", "    depends_on:\n      - outbridge-9\n"},
		"a secret that is not there":    {"secrets:\n  database-password:", "secrets:\n  password:"},
		"no tag":                        {"outbridge:latest", "outbridge"},
		"never started again":           {"restart: unless-stopped", "restart: \"no\""},
		"a password in the environment": {"POSTGRES_PASSWORD_FILE: /run/secrets/database-password", "POSTGRES_PASSWORD: hunter2"},
		"a password in the address":     {"postgres://outbridge@", "postgres://outbridge:hunter2@"},
		"a published bridge":            {"  stop_grace_period: 30s\n", "  ports: [\"8080:8080\"]\n"},
		"all rights":                    {"  cap_drop:\n    - ALL\n", ""},
		"no health check":               {"test: [\"CMD\", \"/outbridge\", \"healthcheck\"]", "disable: true"},
		"not waiting":                   {"condition: service_healthy", "condition: service_started"},
		"one that gets nothing":         {"reverse_proxy outbridge-1:8080 outbridge-2:8080", "reverse_proxy outbridge-1:8080"},
		"an open database":              {"    internal: true\n", "    internal: false\n"},
	} {
		text := strings.Replace(string(good), change[0], change[1], 1)
		if text == string(good) {
			t.Errorf("%s: %q is not in the file", name, change[0])
		}
		p, err := composed(t, text)
		if err == nil && len(composeProblems(p)) == 0 {
			t.Errorf("%s is not found", name)
		}
	}
}

// manifests are what `kubectl apply -k` sends, each read as its type is defined, with no field that it has not.
type manifests struct {
	deployments []apps.Deployment
	budgets     []policy.PodDisruptionBudget
	services    []core.Service
	ingresses   []networking.Ingress
	configs     []core.ConfigMap
}

func built(folder string) (m manifests, err error) {
	kustomizer := krusty.MakeKustomizer(krusty.MakeDefaultOptions())
	all, err := kustomizer.Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return m, err
	}
	for _, r := range all.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			return m, err
		}
		switch id := r.GetApiVersion() + " " + r.GetKind(); id {
		case "apps/v1 Deployment":
			err = take(text, &m.deployments)
		case "policy/v1 PodDisruptionBudget":
			err = take(text, &m.budgets)
		case "v1 Service":
			err = take(text, &m.services)
		case "networking.k8s.io/v1 Ingress":
			err = take(text, &m.ingresses)
		case "v1 ConfigMap":
			err = take(text, &m.configs)
		default:
			err = errors.New("nobody knows this type")
		}
		if err != nil {
			return m, fmt.Errorf("%s %s: %w", r.GetKind(), r.GetName(), err)
		}
	}
	return m, nil
}

func take[T any](text []byte, list *[]T) error {
	var one T
	if err := yaml.UnmarshalStrict(text, &one); err != nil {
		return err
	}
	*list = append(*list, one)
	return nil
}

// problems are what is wrong with the manifests.
func (m manifests) problems() (list []string) {
	wrong := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if len(m.deployments) == 0 || len(m.budgets) == 0 || len(m.services) == 0 || len(m.ingresses) == 0 {
		wrong("a Deployment, PodDisruptionBudget, Service or Ingress is missing")
	}
	for _, d := range m.deployments {
		pod := d.Spec.Template
		if d.Spec.Replicas == nil || *d.Spec.Replicas < 2 {
			wrong("%s: fewer than two replicas", d.Name)
		}
		if !selects(d.Spec.Selector, pod.Labels) {
			wrong("%s: it does not select its own pods", d.Name)
		}
		if s := pod.Spec.SecurityContext; s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.SeccompProfile == nil {
			wrong("%s: it may be root", d.Name)
		}
		if pod.Spec.AutomountServiceAccountToken == nil || *pod.Spec.AutomountServiceAccountToken {
			wrong("%s: it has a token of the cluster, which it does not use", d.Name)
		}
		if !slices.ContainsFunc(m.budgets, func(b policy.PodDisruptionBudget) bool {
			return selects(b.Spec.Selector, pod.Labels) && b.Spec.MinAvailable != nil && b.Spec.MinAvailable.IntVal >= 1 && d.Spec.Replicas != nil && b.Spec.MinAvailable.IntVal < *d.Spec.Replicas
		}) {
			wrong("%s: no PodDisruptionBudget keeps one of its pods and lets another go", d.Name)
		}
		volumes := map[string]bool{}
		for _, v := range pod.Spec.Volumes {
			volumes[v.Name] = true
			if v.Secret != nil && (v.Secret.DefaultMode == nil || *v.Secret.DefaultMode&0o007 != 0) {
				wrong("%s: everybody may read the secrets in %s", d.Name, v.Name)
			}
			if v.ConfigMap != nil && !slices.ContainsFunc(m.configs, func(c core.ConfigMap) bool { return c.Name == v.ConfigMap.Name }) {
				wrong("%s: there is no ConfigMap %s", d.Name, v.ConfigMap.Name)
			}
		}
		for _, c := range pod.Spec.Containers {
			list = append(list, containerProblems(c, volumes)...)
		}
	}
	for _, s := range m.services {
		found := false
		for _, d := range m.deployments {
			for _, c := range d.Spec.Template.Spec.Containers {
				for _, p := range s.Spec.Ports {
					found = found || labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(d.Spec.Template.Labels)) && hasPort(c, p.TargetPort)
				}
			}
		}
		if !found {
			wrong("the Service %s leads nowhere", s.Name)
		}
	}
	for _, i := range m.ingresses {
		if len(i.Spec.TLS) == 0 {
			wrong("the Ingress %s is plain http", i.Name)
		}
		for _, r := range i.Spec.Rules {
			for _, p := range r.HTTP.Paths {
				if !slices.ContainsFunc(m.services, func(s core.Service) bool {
					return p.Backend.Service != nil && s.Name == p.Backend.Service.Name &&
						slices.ContainsFunc(s.Spec.Ports, func(o core.ServicePort) bool {
							return o.Name == p.Backend.Service.Port.Name || o.Port == p.Backend.Service.Port.Number
						})
				}) {
					wrong("the Ingress %s leads nowhere", i.Name)
				}
			}
		}
	}
	return list
}

func containerProblems(c core.Container, volumes map[string]bool) (list []string) {
	wrong := func(format string, args ...any) { list = append(list, c.Name+": "+fmt.Sprintf(format, args...)) }
	for path, probe := range map[string]*core.Probe{"/healthz at first": c.StartupProbe, "/healthz": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
		path, _, _ := strings.Cut(path, " ")
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != path || !hasPort(c, probe.HTTPGet.Port) {
			wrong("nobody asks for %s", path)
		}
	}
	s := c.SecurityContext
	if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
		s.Capabilities == nil || !slices.Contains(s.Capabilities.Drop, "ALL") {
		wrong("it is not confined")
	}
	if c.Resources.Requests.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() || c.Resources.Limits.Memory().IsZero() {
		wrong("it does not say what it needs")
	}
	if !strings.Contains(c.Image, ":") {
		wrong("the image %s has no tag", c.Image)
	}
	for _, e := range c.Env {
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			wrong("%s is a secret in the environment", e.Name)
		}
	}
	for _, v := range c.VolumeMounts {
		if !volumes[v.Name] {
			wrong("there is no volume %s", v.Name)
		}
	}
	return list
}

func selects(s *meta.LabelSelector, set map[string]string) bool {
	selector, err := meta.LabelSelectorAsSelector(s)
	return err == nil && !selector.Empty() && selector.Matches(labels.Set(set))
}

func hasPort(c core.Container, port intstr.IntOrString) bool {
	return slices.ContainsFunc(c.Ports, func(p core.ContainerPort) bool {
		return port.Type == intstr.String && p.Name == port.StrVal || port.Type == intstr.Int && p.ContainerPort == port.IntVal
	})
}

func TestKubernetes(t *testing.T) {
	m, err := built("kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range m.problems() {
		t.Error(problem)
	}
	for name, change := range map[string][3]string{
		"an unknown field":            {"deployment.yaml", "      containers:\n", "      container:\n"},
		"a field of another type":     {"deployment.yaml", "replicas: 2", "replicas: two"},
		"a field twice":               {"deployment.yaml", "  replicas: 2\n", "  replicas: 2\n  replicas: 3\n"},
		"one pod":                     {"deployment.yaml", "replicas: 2", "replicas: 1"},
		"root":                        {"deployment.yaml", "runAsNonRoot: true", "runAsNonRoot: false"},
		"no readiness":                {"deployment.yaml", "readinessProbe:", "livenessProbe2:"},
		"the wrong question":          {"deployment.yaml", "path: /readyz", "path: /healthz"},
		"a port that is not there":    {"deployment.yaml", "port: http", "port: web"},
		"a writable root":             {"deployment.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"},
		"no memory limit":             {"deployment.yaml", "            limits:\n              memory: 1Gi\n", ""},
		"secrets for everybody":       {"deployment.yaml", "defaultMode: 0440", "defaultMode: 0444"},
		"a volume that is not there":  {"deployment.yaml", "            - name: tmp\n", "            - name: temporary\n"},
		"a ConfigMap of no name":      {"deployment.yaml", "          configMap:\n            name: outbridge", "          configMap:\n            name: outbridges"},
		"a budget of other pods":      {"disruption.yaml", "      app.kubernetes.io/name: outbridge", "      app: another"},
		"a budget that keeps all":     {"disruption.yaml", "minAvailable: 1", "minAvailable: 2"},
		"a service of other pods":     {"service.yaml", "targetPort: http", "targetPort: web"},
		"an ingress to nowhere":       {"ingress.yaml", "                name: outbridge\n", "                name: bridge\n"},
		"plain http":                  {"ingress.yaml", "  tls:\n    - hosts:\n        - calendar.example.com\n      secretName: outbridge-tls\n", ""},
		"a file that is not listed":   {"kustomization.yaml", "  - disruption.yaml\n", ""},
		"an unknown key of kustomize": {"kustomization.yaml", "resources:", "resource:"},
	} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS("kubernetes")); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, change[0])
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(string(b), change[1], change[2], 1)
		if text == string(b) {
			t.Errorf("%s: %q is not in %s", name, change[1], change[0])
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if m, err := built(dir); err == nil && len(m.problems()) == 0 {
			t.Errorf("%s is not found", name)
		}
	}
}

// TestConfigurations has the program itself check the configurations that the deployments give it.
func TestConfigurations(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "outbridge")
	build := exec.Command("go", "build", "-o", program, "./cmd/outbridge")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"key", "database-password"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat("0f", 32)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(name, text string, env ...string) {
		t.Helper()
		file := filepath.Join(dir, name+".toml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program, "config", "check", "--config", file)
		cmd.Env = append([]string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}, env...)
		if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "remark") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	m, err := built("kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	check("kubernetes", strings.ReplaceAll(m.configs[0].Data["outbridge.toml"], "/secrets/", dir+"/"))

	b, err := os.ReadFile("compose.postgres.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := composed(t, string(b))
	if err != nil {
		t.Fatal(err)
	}
	var env []string
	for key, value := range p.Services["outbridge-1"].Environment {
		env = append(env, key+"="+strings.NewReplacer("/run/secrets/outbridge-key", dir+"/key", "/run/secrets/", dir+"/").Replace(*value))
	}
	check("compose", "", env...)
}
