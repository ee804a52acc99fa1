package main

import (
	"cmp"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/echo-in-snowflake/echo-in-snowflake/config"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/platformtest"
)

// serviceSpec has the fields of Snowflake's service specification that spec.yml uses, and no others: the
// platform refuses a field that it does not know. Look a new one up in the specification reference.
type serviceSpec struct {
	Spec struct {
		Containers   []container
		Endpoints    []endpoint
		LogExporters struct {
			EventTableConfig struct {
				LogLevel string `yaml:"logLevel"`
			} `yaml:"eventTableConfig"`
		} `yaml:"logExporters"`
		PlatformMonitor struct {
			MetricConfig struct{ Groups []string } `yaml:"metricConfig"`
		} `yaml:"platformMonitor"`
		ResourceManagement struct { // not in spec.yml; cost.md shows it
			AutoScalingPolicies struct {
				Suspend struct {
					AllConditions []struct {
						MetricCondition metricCondition `yaml:"metricCondition"`
					} `yaml:"allConditions"`
				}
			} `yaml:"autoScalingPolicies"`
		} `yaml:"resourceManagement"`
	}
	Capabilities struct {
		SecurityContext struct {
			ExecuteAsCaller *bool `yaml:"executeAsCaller"`
		} `yaml:"securityContext"`
	}
	ServiceRoles []struct {
		Name      string
		Endpoints []string
	} `yaml:"serviceRoles"`
}

type container struct {
	Name, Image string
	Args        []string // not in spec.yml; the job that migrates has it
	Env         map[string]any
	Secrets     []struct {
		SnowflakeSecret struct {
			ObjectName string `yaml:"objectName"`
		} `yaml:"snowflakeSecret"`
		DirectoryPath string `yaml:"directoryPath"`
	}
	ReadinessProbe probe `yaml:"readinessProbe"`
	LivenessProbe  probe `yaml:"livenessProbe"`
	Resources      struct{ Requests, Limits resources }
}

type probe struct {
	Port             int
	Path             string
	PeriodSeconds    int `yaml:"periodSeconds"`
	FailureThreshold int `yaml:"failureThreshold"`
}

type resources struct {
	CPU    float64
	Memory string
}

type metricCondition struct {
	MetricName              string `yaml:"metricName"`
	AggregationType         string `yaml:"aggregationType"`
	StabilizationPeriodSecs int    `yaml:"stabilizationPeriodSecs"`
	TargetScaling           struct {
		TargetValue *float64 `yaml:"targetValue"`
	} `yaml:"targetScaling"`
}

type endpoint struct {
	Name     string
	Port     int
	Public   any // yaml decodes the text "yes" to a bool
	Protocol string
	CORS     struct {
		Origins []string `yaml:"Access-Control-Allow-Origin"`
		Methods []string `yaml:"Access-Control-Allow-Methods"`
		Headers []string `yaml:"Access-Control-Allow-Headers"`
		Exposed []string `yaml:"Access-Control-Expose-Headers"`
	} `yaml:"corsSettings"`
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(content)
}

// readSpec decodes spec.yml. A field that serviceSpec lacks is an error.
func readSpec(t *testing.T) serviceSpec {
	t.Helper()
	return decodeSpec(t, readFile(t, "spec.yml"))
}

func decodeSpec(t *testing.T, text string) serviceSpec {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	var s serviceSpec
	require.NoError(t, decoder.Decode(&s))
	return s
}

func TestTheSpecificationHasOnlyFieldsAndValuesThatThePlatformKnows(t *testing.T) {
	s := readSpec(t)
	require.Len(t, s.Spec.Containers, 1)
	c := s.Spec.Containers[0]
	assert.Equal(t, "api", c.Name, "the command asks for the log of that container")
	assert.Equal(t, "/echo_db/echo_schema/echo_repo/echo-in-snowflake:latest", c.Image)
	for key, value := range c.Env {
		if key != "FIRST_SUPERUSER_SNOWFLAKE_USER" { // for a variable of the command; the service ignores an empty value
			assert.NotEmpty(t, value, key)
		}
		assert.IsType(t, "", value, "%s: quote it", key)
	}
	require.NotEmpty(t, c.Secrets)
	for _, secret := range c.Secrets {
		assert.Regexp(t, `^(/[a-z-]+)+$`, secret.DirectoryPath, "secrets are files: a variable is never updated")
	}
	for _, r := range []resources{c.Resources.Requests, c.Resources.Limits} {
		assert.Positive(t, r.CPU)
		assert.Positive(t, mebibytes(t, r.Memory))
	}
	for _, p := range []probe{c.ReadinessProbe, c.LivenessProbe} {
		assert.Positive(t, p.PeriodSeconds)
		assert.Positive(t, p.FailureThreshold)
	}

	require.Len(t, s.Spec.Endpoints, 1)
	e := s.Spec.Endpoints[0]
	assert.Equal(t, "api", e.Name)
	assert.Equal(t, true, e.Public)
	assert.Equal(t, "HTTP", e.Protocol, "a public endpoint has no other")
	require.NotEmpty(t, e.CORS.Origins)
	for _, origin := range e.CORS.Origins {
		assert.Regexp(t, `^https?://[A-Za-z0-9.:-]+$`, origin, "* and paths are refused")
	}
	assert.Subset(t, []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, e.CORS.Methods)
	assert.NotEmpty(t, e.CORS.Methods)
	for _, header := range slices.Concat(e.CORS.Headers, e.CORS.Exposed) {
		assert.Regexp(t, `^[A-Za-z-]+$`, header)
	}
	require.Len(t, s.ServiceRoles, 1)
	assert.Equal(t, "api_role", s.ServiceRoles[0].Name)
	assert.Equal(t, []string{e.Name}, s.ServiceRoles[0].Endpoints)

	assert.Contains(t, []string{"INFO", "ERROR", "NONE"}, s.Spec.LogExporters.EventTableConfig.LogLevel)
	groups := s.Spec.PlatformMonitor.MetricConfig.Groups
	assert.Subset(t, []string{"system", "system_limits", "status", "network", "storage"}, groups)
	slices.Sort(groups)
	assert.NotEmpty(t, groups)
	assert.Equal(t, slices.Compact(slices.Clone(groups)), groups, "each once")
	require.NotNil(t, s.Capabilities.SecurityContext.ExecuteAsCaller)
	assert.False(t, *s.Capabilities.SecurityContext.ExecuteAsCaller, "the service does not need the callers' tokens")
}

// The gateway answers a browser's preflight request itself, from these settings.
func TestAPageMaySendTheHeadersOfTheServiceAndThoseThatLibrariesAdd(t *testing.T) {
	assert.Subset(t, readSpec(t).Spec.Endpoints[0].CORS.Headers, []string{
		"Authorization", "X-Authorization", "X-SF-SPCS-Authorization", "Content-Type", "If-Match", "X-Request-ID",
		"X-Requested-With", "traceparent", "tracestate", "baggage",
	})
}

func TestTheServiceListensWhereThePlatformAsks(t *testing.T) {
	s := readSpec(t)
	c := s.Spec.Containers[0]
	_, port, ok := strings.Cut(fmt.Sprint(c.Env["HTTP_ADDR"]), ":")
	require.True(t, ok)
	for _, asked := range []int{c.ReadinessProbe.Port, c.LivenessProbe.Port, s.Spec.Endpoints[0].Port} {
		assert.Equal(t, port, strconv.Itoa(asked))
	}
	assert.Equal(t, []string{"/readyz", "/livez"}, []string{c.ReadinessProbe.Path, c.LivenessProbe.Path})
}

// The service does not start with a configuration that it does not accept.
func TestTheServiceAcceptsTheConfigurationOfTheSpecification(t *testing.T) {
	cfg := loadConfig(t, readSpec(t).Spec.Containers[0])
	assert.Equal(t, config.StorageSnowflake, cfg.Storage)
	assert.False(t, cfg.Telemetry.TrustTraceparent, "Snowsight does not show a trace whose id the client chose")
}

// loadConfig returns the configuration that a container gets, with its secrets and the variables of the platform. It
// loads only these groups of keys, or all.
func loadConfig(t *testing.T, c container, groups ...config.Group) config.Config {
	t.Helper()
	files := t.TempDir()
	t.Chdir(files)
	for _, secret := range c.Secrets {
		require.NoError(t, os.MkdirAll(files+secret.DirectoryPath, 0o700))
		require.NoError(t, os.WriteFile(files+secret.DirectoryPath+"/secret_string", []byte("0123456789abcdefghijklmnopqrstuv"), 0o600))
	}
	known := map[string]bool{"GOMEMLIMIT": true} // of the Go runtime
	for _, k := range config.Keys() {
		known[k.Name] = true
	}
	for key, v := range c.Env {
		assert.True(t, known[key] || strings.HasPrefix(key, "OTEL_"), "%s is not a key", key)
		value := fmt.Sprint(v)
		if strings.HasSuffix(key, "_FILE") {
			value = files + value
		}
		t.Setenv(key, value)
	}
	for key, value := range map[string]string{ // that the platform sets
		"SNOWFLAKE_ACCOUNT": "account", "SNOWFLAKE_HOST": "org-account.snowflakecomputing.com",
		"SNOWFLAKE_DATABASE": "ECHO_DB", "SNOWFLAKE_SCHEMA": "ECHO_SCHEMA",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT":  "http://collector:4317",
		"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "collector:4317",
	} {
		t.Setenv(key, value)
	}
	cfg, err := config.Load(nil, groups...)
	require.NoError(t, err)
	return cfg
}

func TestGoCollectsGarbageBeforeThePlatformKills(t *testing.T) {
	c := readSpec(t).Spec.Containers[0]
	limit, ok := strings.CutSuffix(fmt.Sprint(c.Env["GOMEMLIMIT"]), "B")
	require.True(t, ok)
	assert.Less(t, mebibytes(t, limit), mebibytes(t, c.Resources.Limits.Memory)*9/10)
	assert.LessOrEqual(t, mebibytes(t, c.Resources.Requests.Memory), mebibytes(t, c.Resources.Limits.Memory))
}

func mebibytes(t *testing.T, s string) int {
	t.Helper()
	number, ok := strings.CutSuffix(s, "Mi")
	require.True(t, ok, "%s is not in Mi", s)
	n, err := strconv.Atoi(number)
	require.NoError(t, err)
	return n
}

// The edits of the command leave everything else as it is, so that the result can be compared with spec.yml.
func TestTheRenderedSpecificationDiffersFromTheFileOnlyInWhatTheEnvironmentSays(t *testing.T) {
	variables := map[string]string{"ECHO_CORS_ORIGINS": "https://app.example.com", "ECHO_LOG_LEVEL": "debug"}
	d := deployment{prefix: "echo", digest: platformtest.Digest('a'), getenv: func(name string) string { return variables[name] }}
	rendered, err := d.renderSpec()
	require.NoError(t, err)
	want := strings.NewReplacer("LOG_LEVEL: info", `LOG_LEVEL: "debug"`,
		"CORS_ORIGINS: https://app.example.com", `CORS_ORIGINS: "https://app.example.com"`,
		"echo-in-snowflake:latest", "echo-in-snowflake:"+imageTag(d.digest))
	assert.Equal(t, want.Replace(readFile(t, "spec.yml")), string(rendered))

	variables = nil
	rendered, err = d.renderSpec()
	require.NoError(t, err)
	s := decodeSpec(t, string(rendered))
	assert.Empty(t, s.Spec.Endpoints[0].CORS)
	assert.NotContains(t, s.Spec.Containers[0].Env, "CORS_ORIGINS")
	assert.NotContains(t, string(rendered), "ECHO_CORS_ORIGINS", "the comment goes with the settings")
}

func TestOnlyAServiceThatSignsCallersInGetsTheirTokens(t *testing.T) {
	for signIn, want := range map[string]bool{"": false, "off": false, "Off": false, "existing": true, "create": true} {
		d := deployment{prefix: "echo", getenv: func(name string) string {
			return map[string]string{
				"ECHO_SNOWFLAKE_SIGN_IN": signIn, "ECHO_PASSWORD_SIGN_IN": "false", "ECHO_FIRST_SUPERUSER_SNOWFLAKE_USER": "ADA",
			}[name]
		}}
		rendered, err := d.renderSpec()
		require.NoError(t, err)
		s := decodeSpec(t, string(rendered))
		assert.Equal(t, want, *s.Capabilities.SecurityContext.ExecuteAsCaller, signIn)
		if want {
			cfg := loadConfig(t, s.Spec.Containers[0])
			assert.True(t, cfg.OffersSnowflakeSignIn())
			assert.False(t, cfg.PasswordSignIn)
			assert.Equal(t, "ADA", cfg.FirstSuperuserSnowflakeUser)
		}
	}
}

// dryRun returns what the command prints for the default environment.
func dryRun(t *testing.T) string {
	t.Helper()
	result := newPrograms(t).deploy(t.Context(), nil, "", "--dry-run")
	require.Zero(t, result.Code, result.Out)
	return result.Out
}

func TestTheCommandCreatesEverySecretOfTheSpecification(t *testing.T) {
	printed := dryRun(t)
	for _, secret := range readSpec(t).Spec.Containers[0].Secrets {
		assert.Contains(t, printed, "CREATE SECRET IF NOT EXISTS "+secret.SnowflakeSecret.ObjectName+" TYPE")
		assert.Contains(t, printed, "GRANT READ ON SECRET "+secret.SnowflakeSecret.ObjectName+" TO ROLE echo_role;")
	}
}

// project is the part of snowflake.yml that these tests need. The CLI checks the rest.
type project struct {
	Entities struct {
		Service struct {
			Identifier     struct{ Name, Database, Schema string }
			Stage          string
			ComputePool    string `yaml:"compute_pool"`
			SpecFile       string `yaml:"spec_file"`
			Artifacts      []string
			MinInstances   int    `yaml:"min_instances"`
			MaxInstances   int    `yaml:"max_instances"`
			AutoResume     bool   `yaml:"auto_resume"`
			QueryWarehouse string `yaml:"query_warehouse"`
		}
	}
}

func TestTheProjectOfTheCLIDeploysTheSameServiceAsTheCommand(t *testing.T) {
	var p project
	var defaults struct{ Env map[string]any }
	require.NoError(t, yaml.Unmarshal([]byte(readFile(t, "snowflake.yml")), &defaults))
	variable := regexp.MustCompile(`<% ctx\.env\.(\w+) %>`)
	require.NoError(t, yaml.Unmarshal([]byte(variable.ReplaceAllStringFunc(readFile(t, "snowflake.yml"), func(s string) string {
		return fmt.Sprint(defaults.Env[variable.FindStringSubmatch(s)[1]])
	})), &p))
	s := p.Entities.Service
	created := fmt.Sprintf("CREATE SERVICE IF NOT EXISTS %s.%s.%s IN COMPUTE POOL %s FROM @%s SPECIFICATION_FILE = '",
		s.Identifier.Database, s.Identifier.Schema, s.Identifier.Name, s.ComputePool, s.Stage)
	properties := fmt.Sprintf("/%s' MIN_INSTANCES = %d MAX_INSTANCES = %d MIN_READY_INSTANCES = 1 AUTO_RESUME = TRUE QUERY_WAREHOUSE = %s;\n",
		path.Base(s.SpecFile), s.MinInstances, s.MaxInstances, s.QueryWarehouse)
	assert.Regexp(t, regexp.QuoteMeta(created)+"[0-9a-f]{16}"+regexp.QuoteMeta(properties), dryRun(t))
	assert.Equal(t, []string{s.SpecFile}, s.Artifacts, "the CLI puts a file into the stage under its path here")
	assert.True(t, s.AutoResume)
}

func TestSetupCreatesEveryObjectThatTheCommandNames(t *testing.T) {
	setup := readFile(t, "../setup.sql")
	printed := dryRun(t)
	created := regexp.MustCompile(`CREATE (?:SECRET|SERVICE) IF NOT EXISTS echo_db\.echo_schema\.(\w+)`).FindAllStringSubmatch(printed, -1)
	require.Len(t, created, 4)
	objects := regexp.MustCompile(`\becho_\w+`).FindAllString(printed, -1)
	for _, own := range created {
		objects = slices.DeleteFunc(objects, func(name string) bool { return name == own[1] })
	}
	slices.Sort(objects)
	objects = slices.Compact(objects)
	assert.Len(t, objects, 8)
	for _, name := range objects {
		assert.Regexp(t, `(?m)^CREATE .* (echo_db\.)?(echo_schema\.)?`+name+`\b`, setup)
	}
}

func TestEachActionOfAWorkflowIsPinnedToOneCommitOfARelease(t *testing.T) {
	workflows, err := filepath.Glob("../.github/workflows/*.yml")
	require.NoError(t, err)
	pins := map[string]string{}
	for _, workflow := range workflows {
		for _, m := range regexp.MustCompile(`(?m)uses: ([^.\s]\S*?)@(.*)$`).FindAllStringSubmatch(readFile(t, workflow), -1) {
			action, pin := m[1], m[2]
			assert.Regexp(t, `^[0-9a-f]{40} # v\d+\.\d+\.\d+$`, pin, "%s in %s", action, workflow)
			assert.Equal(t, cmp.Or(pins[action], pin), pin, "%s in %s", action, workflow)
			pins[action] = pin
		}
	}
	assert.NotContains(t, pins["snowflakedb/snowflake-actions"], "066885ab", "the head of a branch that was never merged")
}

// GRANT OWNERSHIP needs the new owner among the roles of the grantor.
func TestThePipelineThatRunsSetupHasEveryRoleToWhichItHandsOwnership(t *testing.T) {
	bootstrap := readFile(t, "bootstrap.sql")
	owners := regexp.MustCompile(`(?m)^GRANT OWNERSHIP .* TO ROLE (\w+)`).FindAllStringSubmatch(readFile(t, "../setup.sql"), -1)
	require.NotEmpty(t, owners)
	for _, owner := range owners {
		assert.Contains(t, bootstrap, "\nGRANT ROLE "+owner[1]+" TO ROLE echo_setup;\n")
	}
}

func TestNoWorkflowIsAnAdministratorOrHasAKey(t *testing.T) {
	bootstrap := readFile(t, "bootstrap.sql")
	for _, name := range []string{"setup-infra.yml", "deploy.yml"} {
		workflow := readFile(t, "../.github/workflows/"+name)
		assert.NotRegexp(t, `(?i)accountadmin|private_key|snowflake_password`, workflow)
		assert.Contains(t, workflow, "id-token: write")
		user := regexp.MustCompile(`SNOWFLAKE_USER: (\w+)`).FindStringSubmatch(workflow)
		environment := regexp.MustCompile(`environment: (\w+)`).FindStringSubmatch(workflow)
		assert.Regexp(t, `(?s)CREATE USER IF NOT EXISTS `+user[1]+`\b[^;]*:environment:`+environment[1]+`'`, bootstrap)
	}
	statements := regexp.MustCompile(`(?m)^--.*$`).ReplaceAllString(bootstrap, "")
	assert.NotContains(t, strings.ToUpper(statements), "ACCOUNTADMIN")
	assert.NotContains(t, statements, "MANAGE GRANTS")
}
