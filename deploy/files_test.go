// Package deploy has tests of the files that a deployment consists of: what a schema cannot say of
// them, and that they agree with each other and with the configuration of the service.
package deploy

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/echo-in-snowflake/echo-in-snowflake/config"
)

// specification is what these tests need of spec.yml; service-spec.schema.json has all of it.
type specification struct {
	Spec struct {
		Containers []container
		Endpoints  []struct {
			Name   string
			Port   int
			Public bool
		}
		Volumes []struct{ Name string }
	}
	Capabilities struct {
		SecurityContext struct{ ExecuteAsCaller *bool }
	}
	ServiceRoles []struct {
		Name      string
		Endpoints []string
	}
}

type container struct {
	Name, Image  string
	Env          map[string]string
	VolumeMounts []struct{ Name string }
	Secrets      []struct {
		SnowflakeSecret struct{ ObjectName string }
		DirectoryPath   string
		EnvVarName      string
	}
	ReadinessProbe, LivenessProbe struct {
		Port int
		Path string
	}
	Resources struct{ Limits struct{ Memory string } }
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(content)
}

// parse goes by way of JSON, whose package finds fields in any letter case.
func parse[T any](t *testing.T, content string) T {
	t.Helper()
	var anything any
	require.NoError(t, yaml.Unmarshal([]byte(content), &anything))
	plain, err := json.Marshal(anything)
	require.NoError(t, err)
	var parsed T
	require.NoError(t, json.Unmarshal(plain, &parsed))
	return parsed
}

func TestEveryNameInTheSpecificationIsDeclaredOnce(t *testing.T) {
	s := parse[specification](t, read(t, "spec.yml"))
	var containers, endpoints, volumes, roles []string
	for _, e := range s.Spec.Endpoints {
		endpoints = append(endpoints, e.Name)
	}
	for _, v := range s.Spec.Volumes {
		volumes = append(volumes, v.Name)
	}
	for _, c := range s.Spec.Containers {
		containers = append(containers, c.Name)
		for _, mount := range c.VolumeMounts {
			assert.Contains(t, volumes, mount.Name)
		}
	}
	for _, r := range s.ServiceRoles {
		roles = append(roles, r.Name)
		for _, endpoint := range r.Endpoints {
			assert.Contains(t, endpoints, endpoint)
		}
	}
	for _, names := range [][]string{containers, endpoints, volumes, roles} {
		slices.Sort(names)
		assert.Equal(t, slices.Compact(slices.Clone(names)), names)
	}
	assert.Equal(t, []string{"api"}, containers, "deploy.sh asks for the log of that one")
}

func TestTheServiceListensWhereThePlatformAsks(t *testing.T) {
	s := parse[specification](t, read(t, "spec.yml"))
	c := s.Spec.Containers[0]
	_, port, ok := strings.Cut(c.Env["HTTP_ADDR"], ":")
	require.True(t, ok)
	for _, asked := range []int{c.ReadinessProbe.Port, c.LivenessProbe.Port, s.Spec.Endpoints[0].Port} {
		assert.Equal(t, port, strconv.Itoa(asked))
	}
	assert.Equal(t, []string{"/readyz", "/livez"}, []string{c.ReadinessProbe.Path, c.LivenessProbe.Path})
	assert.True(t, s.Spec.Endpoints[0].Public)
	require.NotNil(t, s.Capabilities.SecurityContext.ExecuteAsCaller)
	assert.False(t, *s.Capabilities.SecurityContext.ExecuteAsCaller, "nothing here needs the token of a caller")
}

// The service would not start with a configuration that it does not accept.
func TestTheServiceAcceptsTheConfigurationOfTheSpecification(t *testing.T) {
	c := parse[specification](t, read(t, "spec.yml")).Spec.Containers[0]
	files := t.TempDir()
	t.Chdir(files)
	for _, secret := range c.Secrets {
		assert.Empty(t, secret.EnvVarName, "a variable is never updated")
		require.NoError(t, os.MkdirAll(files+secret.DirectoryPath, 0o700))
		require.NoError(t, os.WriteFile(files+secret.DirectoryPath+"/secret_string", []byte("0123456789abcdefghijklmnopqrstuv"), 0o600))
	}
	known := map[string]bool{"GOMEMLIMIT": true} // of the runtime
	for _, k := range config.Keys() {
		known[k.Name] = true
	}
	for key, value := range c.Env {
		assert.True(t, known[key] || strings.HasPrefix(key, "OTEL_"), "%s is not a key", key)
		if strings.HasSuffix(key, "_FILE") {
			value = files + value
		}
		t.Setenv(key, value)
	}
	for key, value := range map[string]string{ // by the platform
		"SNOWFLAKE_ACCOUNT": "account", "SNOWFLAKE_HOST": "org-account.snowflakecomputing.com",
		"SNOWFLAKE_DATABASE": "ECHO_DB", "SNOWFLAKE_SCHEMA": "ECHO_SCHEMA",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4317", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "collector:4317",
	} {
		t.Setenv(key, value)
	}
	cfg, err := config.Load(nil)
	require.NoError(t, err)
	assert.Equal(t, config.StorageSnowflake, cfg.Storage)
	assert.False(t, cfg.Telemetry.TrustTraceparent, "Snowsight finds no trace whose id a client has chosen")
}

func TestGoCollectsGarbageBeforeThePlatformKills(t *testing.T) {
	c := parse[specification](t, read(t, "spec.yml")).Spec.Containers[0]
	require.NotEmpty(t, c.Env["GOMEMLIMIT"])
	assert.Less(t, mebibytes(t, strings.TrimSuffix(c.Env["GOMEMLIMIT"], "B")), mebibytes(t, c.Resources.Limits.Memory)*9/10)
}

func mebibytes(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSuffix(s, "Mi"))
	require.NoError(t, err, "%s is not in Mi", s)
	return n
}

func TestEverySecretOfTheSpecificationIsCreatedByTheScript(t *testing.T) {
	script := read(t, "deploy.sh")
	secrets := parse[specification](t, read(t, "spec.yml")).Spec.Containers[0].Secrets
	require.NotEmpty(t, secrets)
	for _, secret := range secrets {
		name := strings.TrimPrefix(secret.SnowflakeSecret.ObjectName, "echo_db.echo_schema.echo_")
		assert.Contains(t, script, `"${prefix}_`+name+`"`)
	}
}

// project is what these tests need of snowflake.yml; the CLI checks the rest of it.
type project struct {
	Entities struct {
		Service struct {
			Identifier     struct{ Name, Database, Schema string }
			Stage          string
			ComputePool    string `json:"compute_pool"`
			SpecFile       string `json:"spec_file"`
			Artifacts      []string
			MinInstances   int    `json:"min_instances"`
			MaxInstances   int    `json:"max_instances"`
			AutoResume     bool   `json:"auto_resume"`
			QueryWarehouse string `json:"query_warehouse"`
		}
	}
}

func TestTheProjectOfTheCLIDeploysWhatTheScriptDoes(t *testing.T) {
	defaults := parse[struct{ Env map[string]any }](t, read(t, "snowflake.yml")).Env
	variable := regexp.MustCompile(`<% ctx\.env\.(\w+) %>`)
	p := parse[project](t, variable.ReplaceAllStringFunc(read(t, "snowflake.yml"), func(s string) string {
		return fmt.Sprint(defaults[variable.FindStringSubmatch(s)[1]])
	}))
	s := p.Entities.Service
	script := read(t, "deploy.sh")
	for _, name := range []string{s.Identifier.Name, s.Identifier.Database, s.Identifier.Schema, s.ComputePool, s.QueryWarehouse, path.Ext("." + s.Stage)[1:]} {
		suffix, ok := strings.CutPrefix(name, "echo_")
		require.True(t, ok, name)
		assert.Contains(t, script, "${prefix}_"+suffix)
	}
	assert.Equal(t, "echo_db.echo_schema.echo_stage", s.Stage)
	assert.Equal(t, []string{s.SpecFile}, s.Artifacts, "the CLI puts a file into the stage under its path here")
	assert.Contains(t, script, fmt.Sprintf("ECHO_MIN_INSTANCES:-%d}", s.MinInstances))
	assert.Equal(t, s.MinInstances, s.MaxInstances)
	assert.True(t, s.AutoResume)
}

func TestEveryObjectOfADeploymentIsMadeBySetup(t *testing.T) {
	setup := read(t, "../setup.sql")
	for _, suffix := range []string{"db", "schema", "repo", "stage", "pool", "wh", "role", "deployer"} {
		assert.Regexp(t, `(?m)^CREATE .* (echo_db\.)?(echo_schema\.)?echo_`+suffix+`\b`, setup)
		assert.Contains(t, read(t, "deploy.sh"), "${prefix}_"+suffix)
	}
}

func TestNoWorkflowIsAnAdministratorOrHasAKey(t *testing.T) {
	for _, name := range []string{"setup-infra.yml", "deploy.yml"} {
		workflow := read(t, "../.github/workflows/"+name)
		assert.NotRegexp(t, `(?i)accountadmin|private_key|snowflake_password`, workflow)
		assert.Contains(t, workflow, "id-token: write")
		user := regexp.MustCompile(`SNOWFLAKE_USER: (\w+)`).FindStringSubmatch(workflow)
		environment := regexp.MustCompile(`environment: (\w+)`).FindStringSubmatch(workflow)
		assert.Regexp(t, `(?s)CREATE USER IF NOT EXISTS `+user[1]+`\b[^;]*:environment:`+environment[1]+`'`, read(t, "bootstrap.sql"))
	}
	assert.NotContains(t, strings.ToUpper(strings.ReplaceAll(read(t, "bootstrap.sql"), "as ACCOUNTADMIN", "")), "ROLE ACCOUNTADMIN")
	assert.NotRegexp(t, `GRANT [^;]*MANAGE GRANTS`, read(t, "bootstrap.sql"))
}
