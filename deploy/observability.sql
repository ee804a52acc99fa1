-- Views that say what each route costs in Snowflake, how long it takes, what fails, and who signs in.
-- Run all of it as ACCOUNTADMIN, after setup.sql:
--
--     snow sql -f deploy/observability.sql
--
-- It can be run again at any time, and a newer version over an older one: a view holds no data. A view
-- reads with the rights of its owner, here ACCOUNTADMIN, so that whoever has the role echo_monitor
-- sees what this one service did and nothing else of the account. All times are UTC. A view reads as
-- far back as its source goes, a year in ACCOUNT_USAGE: ask for a span, WHERE day >= CURRENT_DATE - 7.
--
-- What is documented, and relied on here:
-- * "Monitoring Services": of a log line in JSON, timestamp becomes TIMESTAMP, severity_text becomes
--   RECORD:severity_text, attributes become RECORD_ATTRIBUTES, and body becomes VALUE.
--   RESOURCE_ATTRIBUTES name the service, its database and its schema.
-- * "Event table overview": SNOWFLAKE.TELEMETRY.EVENTS is the event table unless the account or the
--   database has another: SHOW PARAMETERS LIKE 'event_table' IN DATABASE echo_db. Then name that one in
--   service_logs; nothing else reads it.
-- * "Account Usage": QUERY_HISTORY is up to 45 minutes late, WAREHOUSE_METERING_HISTORY and
--   SNOWPARK_CONTAINER_SERVICES_HISTORY up to 3 hours, QUERY_ATTRIBUTION_HISTORY up to 8 hours.
-- * "QUERY_ATTRIBUTION_HISTORY view": no credits for queries of about 100 ms or less, nor for the time
--   that a warehouse runs without a query.
-- * "QUERY_HISTORY view": short queries that touch only hybrid tables are not in it.
--
-- What is assumed, because no account was there to ask: names in RESOURCE_ATTRIBUTES are in upper case,
-- like all names that were created without quotes; numbers in attributes stay numbers; a log line is
-- in the event table once. THIS WAS NEVER RUN AGAINST SNOWFLAKE, only on an emulator.

-- May read these views and nothing else.
CREATE ROLE IF NOT EXISTS echo_monitor COMMENT = 'Reads how Echo in Snowflake is doing';

-- Administrators inherit it, as Snowflake recommends for every role of an application.
GRANT ROLE echo_monitor TO ROLE sysadmin;

-- Not the warehouse of the service: looking at the cost would wake it, and be shared out as its cost.
CREATE WAREHOUSE IF NOT EXISTS echo_monitor_wh
WAREHOUSE_SIZE = XSMALL AUTO_SUSPEND = 60 AUTO_RESUME = TRUE INITIALLY_SUSPENDED = TRUE
COMMENT = 'Questions about Echo in Snowflake';

-- Beside the tables, in a schema of its own: echo_owner and echo_role have nothing to do with it.
CREATE SCHEMA IF NOT EXISTS echo_db.echo_observability COMMENT = 'How Echo in Snowflake is doing';

-- The views below are named without their schema, so that tests can make them in one of their own.
USE SCHEMA echo_db.echo_observability;

-- Log lines of the service. All that follows reads these: the metrics and spans of the event table
-- say the same about requests, but only the log line has what a request cost in the store.
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

-- One row per request, at the time of its answer: for questions that no other view answers, and to
-- find the request behind a complaint by its id. What did not reach the store has no store_ms.
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

-- How long answers take, and how much of that is Snowflake. Percentiles of days do not add up to those
-- of a week: for another span, group requests the same way.
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

-- What was refused or failed, by the code of the problem document. From 500 on it is our fault or
-- Snowflake's; below, the client's. Share is of all answers of the route on that day, so that one
-- failure in ten stands out on a quiet route too.
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

-- Who did what to which account, for those who have to know it afterwards. It is there for as long as
-- the event table keeps its rows.
CREATE OR REPLACE VIEW audit_events
COMMENT = 'Sign-ins, and changes of accounts, passwords and roles'
AS
SELECT
    logged_at,
    hour,
    day,
    attributes:event::VARCHAR AS event,
    attributes:request_id::VARCHAR AS request_id,
    NULLIF(attributes:actor_id::VARCHAR, '') AS actor_id,
    NULLIF(attributes:subject_id::VARCHAR, '') AS subject_id
FROM service_logs
WHERE body = TO_VARIANT('audit');

-- Sign-ins and their failures over time. Many failures on one account are somebody guessing its
-- password; on many accounts, somebody trying one password on all.
CREATE OR REPLACE VIEW sign_ins
COMMENT = 'Sign-ins by hour'
AS
SELECT
    hour,
    COUNT_IF(event = 'signed_in') AS succeeded,
    COUNT_IF(event = 'sign_in_failed') AS failed,
    COUNT_IF(event = 'sign_in_throttled') AS throttled,
    COUNT(DISTINCT IFF(event = 'sign_in_failed', subject_id, NULL)) AS accounts_failed
FROM audit_events
WHERE event IN ('signed_in', 'sign_in_failed', 'sign_in_throttled')
GROUP BY hour;

-- Statements of the service by its query tag, with the request that they belong to. Other tags in the
-- account may be any text, hence TRY. What the service asks at its start belongs to no request, and
-- has no route. On hybrid tables most statements are missing here.
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

-- What a route cost by Snowflake's own count. Where attributed_statements is below statements, the
-- others were too short, or the attribution is hours late: see the estimate below. Cloud services are
-- billed only as far as they are more than a tenth of a day's compute in the whole account.
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

-- What a route cost by our own count: the credits of the warehouse in an hour, shared out over the
-- routes by the time that their requests spent in the store. This has what the attribution leaves out,
-- short statements, hybrid tables and idle minutes, so that the sum is what was metered. It is an
-- estimate: store_ms has the network in it, and whatever else used the warehouse is charged to the
-- routes of that hour. Credits of an hour without any request have no route.
CREATE OR REPLACE VIEW estimated_cost_by_route
COMMENT = 'Credits of the warehouse by hour, shared out over routes by their time in the store'
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

-- What the whole service cost: the two that run for it. cost.md computes the same beforehand.
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

-- echo_monitor finds the database …
GRANT USAGE ON DATABASE echo_db TO ROLE echo_monitor;
-- … and the schema …
GRANT USAGE ON SCHEMA echo_db.echo_observability TO ROLE echo_monitor;
-- … has what runs its questions …
GRANT USAGE ON WAREHOUSE echo_monitor_wh TO ROLE echo_monitor;
-- … and reads the views, again after each run: a view that is replaced loses its grants.
GRANT SELECT ON ALL VIEWS IN SCHEMA echo_db.echo_observability TO ROLE echo_monitor;
