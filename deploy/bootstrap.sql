-- Lets a GitHub repository set up and deploy the service without a stored key. An administrator runs it once, as
-- ACCOUNTADMIN. To deploy from your own machine you do not need it.
--
--     snow sql --role ACCOUNTADMIN -f deploy/bootstrap.sql -D repository=owner/name
--
-- Name the repository as the subject of GitHub's tokens does. If it was created, renamed or moved after
-- 15 July 2026, or has opted in, that is with both numbers, owner@123456/name@456789 (GitHub, "Immutable subject
-- claims"): nobody else can then take over its name.
-- You can run it again; it replaces nothing. For another repository: ALTER USER … SET WORKLOAD_IDENTITY.

-- echo_setup runs setup.sql. A normal deployment does not use it.
CREATE ROLE IF NOT EXISTS echo_setup COMMENT = 'Sets Echo in Snowflake up';
GRANT ROLE echo_setup TO ROLE SYSADMIN;

-- These are the objects that setup.sql creates in the account, and nothing more. MANAGE GRANTS is not among them:
-- it is the right to everything.
GRANT CREATE ROLE ON ACCOUNT TO ROLE echo_setup;
GRANT CREATE WAREHOUSE ON ACCOUNT TO ROLE echo_setup;
GRANT CREATE DATABASE ON ACCOUNT TO ROLE echo_setup;
GRANT CREATE COMPUTE POOL ON ACCOUNT TO ROLE echo_setup;
-- setup.sql grants this one to echo_role.
GRANT BIND SERVICE ENDPOINT ON ACCOUNT TO ROLE echo_setup WITH GRANT OPTION;

-- setup.sql also creates these roles. They exist here already, so that echo_setup can be a member of echo_owner.
-- It needs that to go on granting privileges on the tables of echo_owner, and to hand over new ones: since bundle
-- 2026_07, GRANT OWNERSHIP needs the new owner among the CURRENT_AVAILABLE_ROLES() of the grantor, or MANAGE GRANTS.
CREATE ROLE IF NOT EXISTS echo_owner COMMENT = 'Owns the database of Echo in Snowflake';
CREATE ROLE IF NOT EXISTS echo_role COMMENT = 'Runs the service Echo in Snowflake';
CREATE ROLE IF NOT EXISTS echo_deployer COMMENT = 'Deploys Echo in Snowflake';
GRANT ROLE echo_owner TO ROLE echo_setup;
-- The owner of a role may grant it to others, as setup.sql does to SYSADMIN.
GRANT OWNERSHIP ON ROLE echo_owner TO ROLE echo_setup COPY CURRENT GRANTS;
GRANT OWNERSHIP ON ROLE echo_role TO ROLE echo_setup COPY CURRENT GRANTS;
GRANT OWNERSHIP ON ROLE echo_deployer TO ROLE echo_setup COPY CURRENT GRANTS;

-- The workflow setup-infra.yml signs in as this user. It proves its identity with a token of GitHub that names
-- the repository and the environment "setup". Let that environment require an approval.
CREATE USER IF NOT EXISTS echo_setup_pipeline
    TYPE = SERVICE
    WORKLOAD_IDENTITY = (
        TYPE = OIDC
        ISSUER = 'https://token.actions.githubusercontent.com'
        SUBJECT = 'repo:<% repository %>:environment:setup'
    )
    DEFAULT_ROLE = echo_setup
    COMMENT = 'setup-infra.yml of Echo in Snowflake';
GRANT ROLE echo_setup TO USER echo_setup_pipeline;

-- The workflow deploy.yml signs in as this user, in the environment "production".
CREATE USER IF NOT EXISTS echo_pipeline
    TYPE = SERVICE
    WORKLOAD_IDENTITY = (
        TYPE = OIDC
        ISSUER = 'https://token.actions.githubusercontent.com'
        SUBJECT = 'repo:<% repository %>:environment:production'
    )
    DEFAULT_ROLE = echo_deployer
    COMMENT = 'deploy.yml of Echo in Snowflake';
GRANT ROLE echo_deployer TO USER echo_pipeline;
-- A service runs as the role that created it, so the pipeline needs echo_role too.
GRANT ROLE echo_role TO USER echo_pipeline;
