-- Lets a GitHub repository set up and deploy the service, without a stored key. An administrator runs
-- it once, by hand, as ACCOUNTADMIN; whoever deploys from a machine of their own does not need it.
--
--     snow sql -f deploy/bootstrap.sql -D repository=owner/name
--
-- The repository is named as the subject of GitHub's tokens does: with both numbers,
-- owner@123456/name@456789, if it was created, renamed or moved after 15 July 2026 or has opted in
-- (GitHub, "Immutable subject claims"). Nobody can then take its name over.
-- It can be run again, and replaces nothing. For another repository: ALTER USER … SET WORKLOAD_IDENTITY.

-- Runs setup.sql, once and for later versions of it. It is not for every deployment.
CREATE ROLE IF NOT EXISTS echo_setup COMMENT = 'Sets Echo in Snowflake up';
-- Administrators inherit it, as Snowflake recommends for every role of an application.
GRANT ROLE echo_setup TO ROLE SYSADMIN;

-- What setup.sql creates in the account, and nothing more. MANAGE GRANTS is not among it: that would be
-- the right to everything.
GRANT CREATE ROLE ON ACCOUNT TO ROLE echo_setup;
-- Likewise.
GRANT CREATE WAREHOUSE ON ACCOUNT TO ROLE echo_setup;
-- Likewise.
GRANT CREATE DATABASE ON ACCOUNT TO ROLE echo_setup;
-- Likewise.
GRANT CREATE COMPUTE POOL ON ACCOUNT TO ROLE echo_setup;
-- The one right of the account that setup.sql hands on.
GRANT BIND SERVICE ENDPOINT ON ACCOUNT TO ROLE echo_setup WITH GRANT OPTION;

-- The roles of setup.sql are made here already, so that echo_setup can be a member of echo_owner: it
-- goes on granting rights on what it has handed to that role.
CREATE ROLE IF NOT EXISTS echo_owner COMMENT = 'Owns the database of Echo in Snowflake';
-- Likewise.
CREATE ROLE IF NOT EXISTS echo_role COMMENT = 'Runs the service Echo in Snowflake';
-- Likewise.
CREATE ROLE IF NOT EXISTS echo_deployer COMMENT = 'Deploys Echo in Snowflake';
-- Likewise.
GRANT ROLE echo_owner TO ROLE echo_setup;
-- Who owns a role may grant it to others, as setup.sql does to SYSADMIN.
GRANT OWNERSHIP ON ROLE echo_owner TO ROLE echo_setup COPY CURRENT GRANTS;
-- Likewise.
GRANT OWNERSHIP ON ROLE echo_role TO ROLE echo_setup COPY CURRENT GRANTS;
-- Likewise.
GRANT OWNERSHIP ON ROLE echo_deployer TO ROLE echo_setup COPY CURRENT GRANTS;

-- The workflow setup-infra.yml signs in as this user. It proves who it is by a token of GitHub that
-- names the repository and the environment "setup", which should ask somebody for approval.
CREATE USER IF NOT EXISTS echo_setup_pipeline
    TYPE = SERVICE
    WORKLOAD_IDENTITY = (
        TYPE = OIDC
        ISSUER = 'https://token.actions.githubusercontent.com'
        SUBJECT = 'repo:<% repository %>:environment:setup'
    )
    DEFAULT_ROLE = echo_setup
    COMMENT = 'setup-infra.yml of Echo in Snowflake';
-- All that it may be.
GRANT ROLE echo_setup TO USER echo_setup_pipeline;

-- The workflow deploy.yml signs in as this one, in the environment "production".
CREATE USER IF NOT EXISTS echo_pipeline
    TYPE = SERVICE
    WORKLOAD_IDENTITY = (
        TYPE = OIDC
        ISSUER = 'https://token.actions.githubusercontent.com'
        SUBJECT = 'repo:<% repository %>:environment:production'
    )
    DEFAULT_ROLE = echo_deployer
    COMMENT = 'deploy.yml of Echo in Snowflake';
-- It brings images, specifications and secrets …
GRANT ROLE echo_deployer TO USER echo_pipeline;
-- … and creates and alters the service, which belongs to the role that it runs as.
GRANT ROLE echo_role TO USER echo_pipeline;
