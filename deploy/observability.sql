-- Views of the cost and the latency of each route, of failures, and of sign-ins. Run it as ACCOUNTADMIN, after
-- setup.sql:
--
--     snow sql --role ACCOUNTADMIN -f deploy/observability.sql
--
-- You can run it again at any time, also a newer version over an older one: a view holds no data. A view reads with
-- the rights of its owner, here ACCOUNTADMIN. So the role echo_monitor sees the work of this service and nothing
-- else of the account. All times are UTC. A view reads the whole history of its source, a year in ACCOUNT_USAGE:
-- limit it, WHERE day >= CURRENT_DATE - 7.
--
-- The views rely on these pages of the documentation:
-- * "Monitoring Services": Snowflake puts the parts of a log line in JSON into columns: timestamp into TIMESTAMP,
--   severity_text into RECORD:severity_text, attributes into RECORD_ATTRIBUTES, and body into VALUE.
--   RESOURCE_ATTRIBUTES name the service, its database and its schema.
-- * "Event table overview": SNOWFLAKE.TELEMETRY.EVENTS is the event table unless the account or the database has
--   another one: SHOW PARAMETERS LIKE 'event_table' IN DATABASE echo_db. In that case name it in service_logs, the
--   only view that reads it.
-- * "Account Usage": QUERY_HISTORY is up to 45 minutes late, WAREHOUSE_METERING_HISTORY and
--   SNOWPARK_CONTAINER_SERVICES_HISTORY up to 3 hours, QUERY_ATTRIBUTION_HISTORY up to 8 hours.
-- * "QUERY_ATTRIBUTION_HISTORY view": it has no credits for queries of about 100 ms or less, and none for the time
--   that a warehouse runs without a query.
-- * "QUERY_HISTORY view": it lacks short queries that touch only hybrid tables.
--
-- The views assume what no account could confirm: names in RESOURCE_ATTRIBUTES are in upper case, like all names that
-- were created without quotes; numbers in attributes stay numbers; each log line is in the event table once. THIS WAS
-- NEVER RUN AGAINST SNOWFLAKE, only on an emulator.

-- echo_monitor may read these views and nothing else.
CREATE ROLE IF NOT EXISTS echo_monitor COMMENT = 'Reads how Echo in Snowflake is doing';

-- Administrators inherit it, as Snowflake recommends for the roles of an application.
GRANT ROLE echo_monitor TO ROLE sysadmin;

-- A separate warehouse: questions about the cost must not resume the warehouse of the service and add to its cost.
CREATE WAREHOUSE IF NOT EXISTS echo_monitor_wh
WAREHOUSE_SIZE = XSMALL AUTO_SUSPEND = 60 AUTO_RESUME = TRUE INITIALLY_SUSPENDED = TRUE
GENERATION = '1' ENABLE_QUERY_ACCELERATION = FALSE
COMMENT = 'Questions about Echo in Snowflake';

-- A separate schema, which echo_owner does not own and echo_role cannot use.
CREATE SCHEMA IF NOT EXISTS echo_db.echo_observability COMMENT = 'How Echo in Snowflake is doing';

-- The views are named without their schema, so that tests can create them in another one.
USE SCHEMA echo_db.echo_observability;

-- The other views of requests read these log lines. The event table has metrics and spans too, but only a log line
-- has the cost of the request in the store.
CREATE OR REPLACE VIEW service_logs
COMMENT = 'Log lines of the service'
AS
SELECT
    timestamp AS logged_at,
    record:severity_text::VARCHAR AS severity,
    value AS body,
    record_attributes AS attributes,
    DATE_TRUNC('hour', timestamp) AS hour,
    DATE_TRUNC('day', timestamp) AS day
FROM snowflake.telemetry.events
WHERE
    record_type = 'LOG'
    AND resource_attributes:"snow.service.name"::VARCHAR = 'ECHO_SERVICE'
    AND resource_attributes:"snow.database.name"::VARCHAR = 'ECHO_DB'
    AND resource_attributes:"snow.schema.name"::VARCHAR = 'ECHO_SCHEMA';

-- One row per request, at the time of its answer. Use it to find a request by its id, and for questions that no other
-- view answers. A request that did not reach the store has no store_ms.
CREATE OR REPLACE VIEW requests
COMMENT = 'Requests, each with what it cost in the store'
AS
SELECT
    logged_at,
    hour,
    day,
    attributes:request_id::VARCHAR AS request_id,
    attributes:trace_id::VARCHAR AS trace_id,
    attributes:account_id::VARCHAR AS account_id,
    attributes:method::VARCHAR AS method,
    attributes:route::VARCHAR AS route,
    attributes:status::NUMBER AS status,
    attributes:code::VARCHAR AS code,
    attributes:error::VARCHAR AS error,
    attributes:duration_ms::FLOAT AS duration_ms,
    attributes:statements::NUMBER AS statements,
    attributes:store_wait_ms::FLOAT AS store_wait_ms,
    attributes:store_ms::FLOAT AS store_ms
FROM service_logs
WHERE body = TO_VARIANT('request');

-- The time until the answer, and the part of Snowflake in it. The percentiles of a week do not follow from those of its
-- days: for another period, group requests in the same way.
CREATE OR REPLACE VIEW latency_by_route
COMMENT = 'Milliseconds within which half and 99 of 100 answers were given'
AS
SELECT
    day,
    method,
    route,
    COUNT(*) AS requests,
    PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY duration_ms) AS p50_ms,
    PERCENTILE_CONT(0.99) WITHIN GROUP (ORDER BY duration_ms) AS p99_ms,
    PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY store_ms) AS store_p50_ms,
    PERCENTILE_CONT(0.99) WITHIN GROUP (ORDER BY store_ms) AS store_p99_ms
FROM requests
GROUP BY day, method, route;

-- Refusals and failures, by the code of the problem document. From 500 on, the service or Snowflake is the cause; below
-- 500, the client. share is the part of all answers of the route on that day, so that one failure in ten is visible on
-- a quiet route too.
CREATE OR REPLACE VIEW errors_by_route
COMMENT = 'Answers from 400 on, by status and code'
AS
SELECT
    day,
    method,
    route,
    status,
    code,
    COUNT(*) AS answers,
    COUNT(*) / SUM(COUNT(*)) OVER (PARTITION BY day, method, route) AS share
FROM requests
GROUP BY day, method, route, status, code
QUALIFY status >= 400;

-- The actor, the event, the account that it is about and the item or account that it changed or read, for as long as
-- the event table keeps its rows. Of equal refusals, such as failed sign-ins, the first is a row, and all others of a
-- minute are one more row with their number. source is the client: inside Snowflake, the user that the gateway names.
CREATE OR REPLACE VIEW audit_events
COMMENT = 'Sign-ins, changes of accounts, passwords and roles, and what superusers do to items of others'
AS
SELECT
    logged_at,
    hour,
    day,
    attributes:event::VARCHAR AS event,
    attributes:request_id::VARCHAR AS request_id,
    NULLIF(attributes:actor_id::VARCHAR, '') AS actor_id,
    NULLIF(attributes:subject_id::VARCHAR, '') AS subject_id,
    NULLIF(attributes:object_id::VARCHAR, '') AS object_id,
    NULLIF(attributes:source::VARCHAR, '') AS source,
    COALESCE(attributes:count::NUMBER, 1) AS occurrences
FROM service_logs
WHERE body = TO_VARIANT('audit');

-- Many failures on one account: an attacker guesses its password. Failures on many accounts: an attacker tries one
-- password on all of them. Many sources: the attacker uses other people's machines.
CREATE OR REPLACE VIEW sign_ins
COMMENT = 'Sign-ins by hour'
AS
SELECT
    hour,
    SUM(IFF(event = 'signed_in', occurrences, 0)) AS succeeded,
    SUM(IFF(event = 'sign_in_failed', occurrences, 0)) AS failed,
    SUM(IFF(event = 'sign_in_throttled', occurrences, 0)) AS throttled,
    COUNT(DISTINCT IFF(event = 'sign_in_failed', subject_id, NULL)) AS accounts_failed,
    COUNT(DISTINCT IFF(event = 'sign_in_failed', source, NULL)) AS sources_failed
FROM audit_events
WHERE event IN ('signed_in', 'sign_in_failed', 'sign_in_throttled')
GROUP BY hour;

-- The statements of the service, found by their query tag, with their request. Other tags in the account can be any
-- text, hence TRY_PARSE_JSON. A statement that the service sends at its start belongs to no request and has no route.
-- Most statements on hybrid tables are missing.
CREATE OR REPLACE VIEW statements
COMMENT = 'Statements of the service in the query history'
AS
WITH tagged AS (
    SELECT
        query_id,
        execution_status,
        error_code,
        execution_time,
        total_elapsed_time,
        credits_used_cloud_services,
        CONVERT_TIMEZONE('UTC', start_time)::TIMESTAMP_NTZ AS started_at,
        TRY_PARSE_JSON(query_tag) AS tag
    FROM snowflake.account_usage.query_history
)

SELECT
    tagged.query_id,
    tagged.started_at,
    tagged.execution_status,
    tagged.error_code,
    tagged.execution_time AS execution_ms,
    tagged.total_elapsed_time AS elapsed_ms,
    tagged.credits_used_cloud_services AS cloud_services_credits,
    attribution.credits_attributed_compute AS credits,
    tagged.tag:v::VARCHAR AS version,
    tagged.tag:route::VARCHAR AS route,
    NULLIF(tagged.tag:rid::VARCHAR, '') AS request_id,
    NULLIF(tagged.tag:trace::VARCHAR, '') AS trace_id,
    DATE_TRUNC('day', tagged.started_at) AS day
FROM tagged
LEFT JOIN snowflake.account_usage.query_attribution_history AS attribution
    ON tagged.query_id = attribution.query_id
WHERE tagged.tag:app::VARCHAR = 'echo-in-snowflake';

-- The cost of a route as Snowflake counts it. If attributed_statements is less than statements, the others were too
-- short, or the attribution is still missing: see the estimate below. Snowflake bills cloud services only if they
-- exceed a tenth of the day's compute in the whole account.
CREATE OR REPLACE VIEW cost_by_route
COMMENT = 'Statements and credits of a route, as Snowflake counts them'
AS
SELECT
    day,
    route,
    COUNT(DISTINCT request_id) AS requests,
    COUNT(*) AS statements,
    SUM(execution_ms) / 1000 AS execution_seconds,
    COUNT(credits) AS attributed_statements,
    COALESCE(SUM(credits), 0) AS attributed_credits,
    SUM(cloud_services_credits) AS cloud_services_credits
FROM statements
GROUP BY day, route;

-- An estimate: it divides the credits of the warehouse in an hour among the routes, by the time that their requests
-- spent in the store. It includes short statements, hybrid tables and idle minutes, which the attribution excludes. So
-- the sum equals the metered credits. It is not exact: store_ms includes the network, and other users of the warehouse
-- are charged to the routes of that hour. Credits of an hour without a request have no route.
CREATE OR REPLACE VIEW estimated_cost_by_route
COMMENT = 'Credits of the warehouse by hour, divided among routes by their time in the store'
AS
WITH metered AS (
    SELECT
        DATE_TRUNC('hour', CONVERT_TIMEZONE('UTC', start_time)::TIMESTAMP_NTZ) AS hour,
        SUM(credits_used_compute) AS credits
    FROM snowflake.account_usage.warehouse_metering_history
    WHERE warehouse_name = 'ECHO_WH'
    GROUP BY DATE_TRUNC('hour', CONVERT_TIMEZONE('UTC', start_time)::TIMESTAMP_NTZ)
),

used AS (
    SELECT
        requests.hour,
        requests.route,
        COUNT(*) AS requests,
        SUM(requests.statements) AS statements,
        SUM(requests.store_ms) AS store_ms
    FROM requests
    WHERE requests.store_ms > 0
    GROUP BY requests.hour, requests.route
)

SELECT
    metered.hour,
    used.route,
    COALESCE(used.requests, 0) AS requests,
    COALESCE(used.statements, 0) AS statements,
    COALESCE(used.store_ms, 0) / 1000 AS store_seconds,
    metered.credits
    * COALESCE(used.store_ms / SUM(used.store_ms) OVER (PARTITION BY metered.hour), 1) AS estimated_credits
FROM metered
LEFT JOIN used ON metered.hour = used.hour;

-- The cost of the whole service. cost.md computes it in advance.
CREATE OR REPLACE VIEW credits_by_day
COMMENT = 'Credits of the warehouse and of the compute pool'
AS
SELECT
    warehouse_name AS name,
    DATE_TRUNC('day', CONVERT_TIMEZONE('UTC', start_time)::TIMESTAMP_NTZ) AS day,
    SUM(credits_used_compute) AS credits
FROM snowflake.account_usage.warehouse_metering_history
WHERE warehouse_name IN ('ECHO_WH', 'ECHO_MONITOR_WH')
GROUP BY warehouse_name, DATE_TRUNC('day', CONVERT_TIMEZONE('UTC', start_time)::TIMESTAMP_NTZ)
UNION ALL
SELECT
    compute_pool_name AS name,
    DATE_TRUNC('day', CONVERT_TIMEZONE('UTC', start_time)::TIMESTAMP_NTZ) AS day,
    SUM(credits_used) AS credits
FROM snowflake.account_usage.snowpark_container_services_history
WHERE compute_pool_name = 'ECHO_POOL'
GROUP BY compute_pool_name, DATE_TRUNC('day', CONVERT_TIMEZONE('UTC', start_time)::TIMESTAMP_NTZ);

GRANT USAGE ON DATABASE echo_db TO ROLE echo_monitor;
GRANT USAGE ON SCHEMA echo_db.echo_observability TO ROLE echo_monitor;
GRANT USAGE ON WAREHOUSE echo_monitor_wh TO ROLE echo_monitor;
-- Before bundle 2026_08, a replaced view loses its grants, so each run grants them again.
GRANT SELECT ON ALL VIEWS IN SCHEMA echo_db.echo_observability TO ROLE echo_monitor;
