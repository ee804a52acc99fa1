package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/config"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/platformtest"
)

// programs is a stand-in for the programs that the command runs.
type programs struct {
	t        *testing.T
	platform *platformtest.Platform
	commands []*exec.Cmd
	docker   []string                     // calls
	images   string                       // what docker image inspect prints
	tokens   int                          // of the workflow
	failing  string                       // how commands begin that fail
	before   func(statement string) error // an error makes the CLI fail
}

func (p *programs) run(cmd *exec.Cmd) error {
	p.commands = append(p.commands, cmd)
	command := strings.Join(cmd.Args, " ")
	input, err := io.ReadAll(cmd.Stdin)
	require.NoError(p.t, err)
	switch {
	case p.failing != "" && strings.HasPrefix(command, p.failing):
		return errors.New("exit status 1")
	case strings.HasPrefix(command, "git describe"):
		fmt.Fprintln(cmd.Stdout, "v1.2.3-4-g0123456")
	case strings.HasPrefix(command, "git rev-parse"):
		fmt.Fprintln(cmd.Stdout, strings.Repeat("0", 40))
	case strings.HasPrefix(command, "docker "):
		p.docker = append(p.docker, strings.Join(cmd.Args[1:], " "))
		if strings.HasPrefix(command, "docker image inspect") {
			fmt.Fprint(cmd.Stdout, cmp.Or(p.images, platformtest.DockerAnswer))
		}
	case strings.HasPrefix(command, "snow spcs image-registry login --role echo_deployer"):
		p.docker = append(p.docker, "login")
	case strings.HasPrefix(command, "snow auth oidc read-token"):
		p.tokens++
		fmt.Fprintf(cmd.Stdout, "token %d\n", p.tokens)
	case strings.HasPrefix(command, "snow sql --enable-templating NONE --format json --stdin --role "):
		return p.answer(cmd, string(input))
	default:
		p.t.Errorf("unexpected command: %s", command)
	}
	return nil
}

// answer prints what the CLI does: a list of rows for one statement, a list of lists for several.
func (p *programs) answer(cmd *exec.Cmd, script string) error {
	role := cmd.Args[slices.Index(cmd.Args, "--role")+1]
	var lists [][]map[string]any
	for statement := range strings.SplitSeq(strings.TrimSuffix(script, ";\n"), ";\n") {
		if p.before != nil {
			if err := p.before(statement); err != nil {
				return err
			}
		}
		table, refusal := p.platform.Answer(role, statement)
		if refusal != "" {
			fmt.Fprintln(cmd.Stderr, refusal)
			return errors.New("exit status 1")
		}
		list := []map[string]any{}
		if table != nil {
			for _, values := range table.Rows {
				row := map[string]any{"null": nil}
				for i, column := range table.Columns {
					row[strings.ToUpper(column)] = values[i]
				}
				list = append(list, row)
			}
		} else if !strings.HasPrefix(statement, "PUT ") {
			p.t.Errorf("unexpected statement: %s", statement)
		}
		lists = append(lists, list)
	}
	if len(lists) == 1 {
		return json.NewEncoder(cmd.Stdout).Encode(lists[0])
	}
	return json.NewEncoder(cmd.Stdout).Encode(lists)
}

// deploy runs the command in ctx with these programs.
func (p *programs) deploy(ctx context.Context, variables map[string]string, input string, args ...string) platformtest.Result {
	p.docker = nil
	var out bytes.Buffer
	d := deployment{
		getenv: func(name string) string { return variables[name] },
		stdin:  strings.NewReader(input), stdout: &out, stderr: &out,
		runProgram: p.run, pause: time.Millisecond,
	}
	code := d.run(ctx, args)
	return platformtest.Result{Out: out.String(), Code: code, Docker: p.docker}
}

func newPrograms(t *testing.T) *programs { return &programs{t: t, platform: platformtest.New()} }

func TestDeployOnAStandInForTheCLI(t *testing.T) {
	platformtest.TestDeploy(t, func(t *testing.T) platformtest.Operator {
		t.Parallel()
		p := newPrograms(t)
		return platformtest.Operator{
			Platform: p.platform,
			Run: func(variables map[string]string, input string, args ...string) platformtest.Result {
				return p.deploy(t.Context(), variables, input, args...)
			},
		}
	})
}

func TestSecretsAreOnNoCommandLineAndInNoEnvironment(t *testing.T) {
	p := newPrograms(t)
	deployed := p.deploy(t.Context(), nil, "a password that was typed\n", "--digest", platformtest.Digest('a'))
	require.Zero(t, deployed.Code, deployed.Out)
	require.Len(t, p.platform.Secrets, 3)
	for _, cmd := range p.commands {
		for name, value := range p.platform.Secrets {
			assert.NotContains(t, strings.Join(append(cmd.Args, cmd.Env...), " "), value, "%s for %s", name, cmd.Args)
		}
	}
}

func TestAWorkflowOfGitHubRenewsItsTokenForEachCommandOfTheCLI(t *testing.T) {
	p := newPrograms(t)
	deployed := p.deploy(t.Context(), map[string]string{
		"SNOWFLAKE_WORKLOAD_IDENTITY_PROVIDER": "OIDC", "GITHUB_ACTIONS": "true", "FIRST_SUPERUSER_PASSWORD": "a password of a workflow",
	}, "", "-x")
	require.Zero(t, deployed.Code, deployed.Out)
	assert.Equal(t, "a password of a workflow", p.platform.Secrets["echo_first_password"])
	for i, cmd := range p.commands {
		if cmd.Args[0] != "snow" || cmd.Args[1] == "auth" {
			continue
		}
		assert.Equal(t, "snow auth oidc read-token --type=github", strings.Join(p.commands[i-1].Args, " "))
		assert.Contains(t, cmd.Args, "--temporary-connection")
	}
	last := p.commands[len(p.commands)-1]
	assert.Contains(t, last.Env, fmt.Sprintf("SNOWFLAKE_TOKEN=token %d", p.tokens))
	assert.Greater(t, p.tokens, 5)
}

func TestANamedConnectionIsPassedToTheCLI(t *testing.T) {
	p := newPrograms(t)
	require.Zero(t, p.deploy(t.Context(), nil, "\n", "-c", "work", "--digest", platformtest.Digest('a')).Code)
	for _, cmd := range p.commands {
		assert.Contains(t, strings.Join(cmd.Args, " "), " --connection work")
	}
}

func TestAnInterruptedDeploymentKeepsTheNoteOfTheVersionBeforeAndRemovesItsFiles(t *testing.T) {
	p := newPrograms(t)
	require.Zero(t, p.deploy(t.Context(), nil, "\n", "--digest", platformtest.Digest('a')).Code)
	ready := p.platform.Service.Comment
	ctx, interrupt := context.WithCancel(t.Context())
	p.before = func(statement string) error {
		if !strings.HasPrefix(statement, "SHOW SERVICE CONTAINERS") {
			return nil
		}
		interrupt()
		return errors.New("signal: interrupt")
	}
	p.platform.Broken = platformtest.Digest('c')
	p.platform.Take()

	interrupted := p.deploy(ctx, nil, "", "--digest", platformtest.Digest('c'))
	assert.Equal(t, 1, interrupted.Code)
	assert.Contains(t, interrupted.Out, "deploy: interrupted: run it again\n")
	sent := platformtest.Texts(p.platform.Take())
	assert.Contains(t, sent[len(sent)-1], "SHOW SERVICES", "nothing is sent afterwards")
	assert.Equal(t, strings.Replace(ready, "ready: ", "before: ", 1), p.platform.Service.Comment)
	assert.NoDirExists(t, filepath.Dir(p.platform.Uploaded))

	p.before = nil
	p.platform.Broken = ""
	again := p.deploy(t.Context(), nil, "", "--digest", platformtest.Digest('c'))
	require.Zero(t, again.Code, again.Out)
	assert.Contains(t, p.platform.Service.Comment, "ready: ")
	assert.Contains(t, p.platform.Service.Comment, platformtest.Digest('c'))
}

func TestAnInterruptEndsTheQuestionForThePassword(t *testing.T) {
	p := newPrograms(t)
	ctx, interrupt := context.WithCancel(t.Context())
	typed, keyboard := io.Pipe()
	defer keyboard.Close()
	d := deployment{
		getenv: func(string) string { return "" }, stdin: typed, stdout: io.Discard, stderr: io.Discard, runProgram: p.run,
	}
	p.before = func(statement string) error {
		if strings.HasPrefix(statement, "SHOW SECRETS") { // the question follows
			time.AfterFunc(time.Millisecond, interrupt)
		}
		return nil
	}
	assert.Equal(t, 1, d.run(ctx, []string{"--digest", platformtest.Digest('a')}))
	sent := platformtest.Texts(p.platform.Take())
	assert.Contains(t, sent[len(sent)-1], "SHOW SECRETS", "nothing is sent afterwards")
	assert.Empty(t, p.platform.Secrets)
}

func TestAVersionThatIsReadyOnlyOnceIsNotReady(t *testing.T) {
	p := newPrograms(t)
	looks := 0
	p.before = func(statement string) error {
		if strings.HasPrefix(statement, "SHOW SERVICE CONTAINERS") {
			looks++
			p.platform.Broken = ""
			if looks == 2 { // the upgrade began late
				p.platform.Broken = platformtest.Digest('a')
			}
		}
		return nil
	}
	require.Zero(t, p.deploy(t.Context(), nil, "\n", "--digest", platformtest.Digest('a')).Code)
	assert.Equal(t, 4, looks)
}

func TestARefusedQuestionIsRepeatedUntilTheTimeout(t *testing.T) {
	p := newPrograms(t)
	looks := 0
	p.before = func(statement string) error {
		if strings.HasPrefix(statement, "SHOW SERVICE CONTAINERS") {
			looks++
			if looks <= 2 {
				return errors.New("exit status 1")
			}
		}
		return nil
	}
	require.Zero(t, p.deploy(t.Context(), nil, "\n", "--digest", platformtest.Digest('a')).Code)
	assert.Equal(t, 4, looks)
}

func TestAFailingProgramEndsTheDeployment(t *testing.T) {
	for _, command := range []string{
		"git describe", "git rev-parse", "docker build", "snow spcs", "docker push", "docker image inspect", "docker tag",
		"snow auth",
	} {
		p := newPrograms(t)
		p.failing = command
		failed := p.deploy(t.Context(), map[string]string{
			"SNOWFLAKE_WORKLOAD_IDENTITY_PROVIDER": "OIDC", "GITHUB_ACTIONS": "true",
		}, "\n")
		assert.Equal(t, 1, failed.Code)
		program, rest, _ := strings.Cut(command, " ")
		rest, _, _ = strings.Cut(rest, " ")
		assert.Contains(t, failed.Out, "deploy: "+program+" "+rest+": exit status 1\n")
		assert.Equal(t, program, p.commands[len(p.commands)-1].Args[0], "it is the last one")
		assert.Empty(t, p.platform.Secrets)
		assert.Nil(t, p.platform.Service)
	}
}

func TestARefusedStatementEndsTheDeployment(t *testing.T) {
	for _, statement := range []string{
		"SHOW IMAGE REPOSITORIES", "SHOW SECRETS", "CREATE SECRET", "GRANT", "PUT", "SHOW SERVICES", "CREATE SERVICE",
		"ALTER SERVICE echo_db.echo_schema.echo_service SET COMMENT",
	} {
		p := newPrograms(t)
		p.platform.Refused = statement
		failed := p.deploy(t.Context(), nil, "\n")
		assert.Equal(t, 1, failed.Code, statement)
		assert.Contains(t, failed.Out, "refused\n", "as the CLI prints it")
		sent := platformtest.Texts(p.platform.Take())
		assert.True(t, strings.HasPrefix(sent[len(sent)-1], statement), "it is the last one")
		if p.platform.Uploaded != "" {
			assert.NoDirExists(t, filepath.Dir(p.platform.Uploaded))
		}
	}
}

func TestADigestOfAnotherRepositoryIsNotDeployed(t *testing.T) {
	p := newPrograms(t)
	p.images = "elsewhere.invalid/x@" + platformtest.Digest('e') + "\n"
	failed := p.deploy(t.Context(), nil, "\n")
	assert.Equal(t, 1, failed.Code)
	assert.Contains(t, failed.Out, "deploy: docker does not say under which digest it pushed images.invalid/")
}

func TestIfTheVersionBeforeDoesNotBecomeReadyEitherTheMessageSaysSo(t *testing.T) {
	p := newPrograms(t)
	require.Zero(t, p.deploy(t.Context(), nil, "\n", "--digest", platformtest.Digest('a')).Code)
	good := p.platform.Service.Path
	p.before = func(statement string) error { // both versions are broken
		if strings.HasPrefix(statement, "SHOW SERVICE CONTAINERS") {
			return errors.New("exit status 1")
		}
		return nil
	}
	failed := p.deploy(t.Context(), nil, "", "--digest", platformtest.Digest('b'), "--timeout", "0")
	assert.Equal(t, 1, failed.Code)
	assert.Contains(t, failed.Out, "neither the new version nor the one before became ready: see deploy/README.md")
	assert.Equal(t, good, p.platform.Service.Path, "the version before is what stays")
	assert.Contains(t, p.platform.Service.Comment, "before: ")
}

func TestAServiceWithoutAnAddressIsReported(t *testing.T) {
	failed := newPrograms(t).deploy(t.Context(), nil, "\n", "--digest", platformtest.Digest('a'), "--timeout", "0")
	assert.Equal(t, 1, failed.Code)
	assert.Contains(t, failed.Out, "deploy: ready, but without an address after 0 s: SHOW ENDPOINTS IN SERVICE ")
}

func TestAFirstPasswordThatTheServiceWouldRefuseBecomesNoSecret(t *testing.T) {
	for password, says := range map[string]string{
		"1234567":                "must have 8 to 128 characters, has 7",
		strings.Repeat("é", 129): "must have 8 to 128 characters, has 129",
		"changethis":             "is one of the commonest passwords: choose another",
		"Password123":            "is one of the commonest passwords: choose another",
		"Winter2026!":            "is little more than a season or a month with a year: choose another",
		"admin@example.com":      "is little more than the e-mail address or the name of this service: choose another",
		"Echo in Snowflake!":     "is little more than the e-mail address or the name of this service: choose another",
	} {
		for input, variables := range map[string]map[string]string{
			"":              {"FIRST_SUPERUSER_PASSWORD": password},
			password + "\n": nil,
		} {
			p := newPrograms(t)
			refused := p.deploy(t.Context(), variables, input, "--digest", platformtest.Digest('a'))
			assert.Equal(t, 1, refused.Code)
			assert.Contains(t, refused.Out, "deploy: the password of the first superuser "+says+"\n")
			assert.Empty(t, p.platform.Secrets)
		}
	}
	p := newPrograms(t)
	named := map[string]string{"ECHO_FIRST_SUPERUSER": "zoe@corp.example", "FIRST_SUPERUSER_PASSWORD": "zoe@corp.example"}
	assert.Equal(t, 1, p.deploy(t.Context(), named, "", "--digest", platformtest.Digest('a')).Code)
	assert.Empty(t, p.platform.Secrets)
	longest := map[string]string{"FIRST_SUPERUSER_PASSWORD": strings.Repeat("éèêëàâäß", 16)}
	assert.Zero(t, p.deploy(t.Context(), longest, "", "--digest", platformtest.Digest('a')).Code)
}

func TestWithoutPasswordsThereIsNoQuestionForOne(t *testing.T) {
	p := newPrograms(t)
	variables := map[string]string{
		"ECHO_SNOWFLAKE_SIGN_IN": "existing", "ECHO_PASSWORD_SIGN_IN": "false", "ECHO_FIRST_SUPERUSER_SNOWFLAKE_USER": "ADA",
	}
	deployed := p.deploy(t.Context(), variables, "", "--digest", platformtest.Digest('a'))
	require.Zero(t, deployed.Code, deployed.Out)
	assert.NotContains(t, strings.ToLower(deployed.Out), "password of")
	assert.GreaterOrEqual(t, len(p.platform.Secrets["echo_first_password"]), 43, "random, for a specification that names it")
}

func TestAPipedFirstPasswordEndsWithItsLineOrWithTheInput(t *testing.T) {
	const password = "correct horse battery"
	for _, end := range []string{"\n", "\r\n", "", "\nthe next line\n"} {
		p := newPrograms(t)
		deployed := p.deploy(t.Context(), nil, password+end, "--digest", platformtest.Digest('a'))
		require.Zero(t, deployed.Code, deployed.Out)
		assert.Equal(t, password, p.platform.Secrets["echo_first_password"])
	}
	for _, empty := range []string{"\n", "\r\n"} {
		generated := newPrograms(t).deploy(t.Context(), nil, empty, "--digest", platformtest.Digest('a'))
		require.Zero(t, generated.Code, generated.Out)
		assert.Contains(t, generated.Out, "it is not shown again")
	}
}

func TestAServiceStaysReadyWhileMaintenanceReplacesHalfOfItsInstances(t *testing.T) {
	for instances, ready := range map[string]string{"1": "1", "2": "1", "3": "1", "4": "2", "5": "2", "8": "4"} {
		dry := newPrograms(t).deploy(t.Context(), map[string]string{"ECHO_MIN_INSTANCES": instances}, "", "--dry-run")
		assert.Contains(t, dry.Out, "MIN_INSTANCES = "+instances+" MAX_INSTANCES = "+instances+" MIN_READY_INSTANCES = "+ready+" ")
	}
}

func TestWithoutTheCLITheMessageNamesIt(t *testing.T) {
	d := deployment{
		getenv: func(string) string { return "" }, stdin: strings.NewReader(""), stdout: io.Discard, stderr: new(bytes.Buffer),
		runProgram: func(cmd *exec.Cmd) error { return &exec.Error{Name: cmd.Args[0], Err: exec.ErrNotFound} },
	}
	assert.Equal(t, 1, d.run(t.Context(), nil))
	assert.Equal(t, "deploy: there is no snow, the Snowflake CLI: see deploy/README.md\n", fmt.Sprint(d.stderr))
}

func TestOptionsAreExplainedAndChecked(t *testing.T) {
	help := newPrograms(t).deploy(t.Context(), nil, "", "--help")
	assert.Zero(t, help.Code)
	for _, part := range []string{"Usage: go run ./deploy [options]\n", "--digest", "--dry-run", "--timeout", "-c, --connection", "-x, --", "ECHO_PREFIX"} {
		assert.Contains(t, help.Out, part)
	}
	assert.Equal(t, help, newPrograms(t).deploy(t.Context(), nil, "", "-h"))
	for _, names := range []string{`(?m)^( +-.*?  +)[a-z]`, `(?m)^( +[A-Z].*?  +)[a-z]`} {
		columns := map[int]bool{}
		for _, m := range regexp.MustCompile(names).FindAllStringSubmatch(help.Out, -1) {
			columns[utf8.RuneCountInString(m[1])] = true
		}
		assert.Len(t, columns, 1, "all explanations begin in one column")
	}

	for _, tt := range []struct {
		args []string
		says string
	}{
		{[]string{"--unknown"}, "unknown flag: --unknown"},
		{[]string{"more"}, "unknown option more"},
		{[]string{"--digest", "sha256:abc"}, "--digest is sha256: and 64 hexadecimal digits"},
		{[]string{"--digest", ""}, "--digest is sha256: and 64 hexadecimal digits"},
		{[]string{"--connection", ""}, "--connection is the name of a connection"},
		{[]string{"--timeout", "soon"}, `"--timeout"`},
		{[]string{"--migrate-only"}, "--migrate-only needs ECHO_STORAGE=postgres"},
		{[]string{"--timeout", "10000000000"}, `"--timeout"`},
	} {
		p := newPrograms(t)
		refused := p.deploy(t.Context(), nil, "", tt.args...)
		assert.Equal(t, 2, refused.Code, tt.args)
		assert.Contains(t, refused.Out, tt.says)
		assert.Empty(t, p.commands)
	}
	fewer := newPrograms(t).deploy(t.Context(), map[string]string{"ECHO_MAX_INSTANCES": "1"}, "", "--dry-run")
	assert.Contains(t, fewer.Out, "deploy: ECHO_MAX_INSTANCES is 1, less than ECHO_MIN_INSTANCES, 2\n")
}

func TestTheDeployCommandKnowsTheDefaultsOfTheService(t *testing.T) {
	defaults := map[string]string{}
	for _, k := range config.Keys() {
		defaults[k.Name] = k.Default
	}
	assert.Equal(t, defaults["FIRST_SUPERUSER"], defaultSuperuser)
	assert.Equal(t, defaults["PROJECT_NAME"], defaultName)
}
