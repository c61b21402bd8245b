"""What the worker asks of Redis in one round trip each, as Lua: take and save many jobs at once, keep them alive.

A script runs alone, so a job leaves its queue and is marked as started in one step, and is saved only if nobody added a
dependent meanwhile: no intermediate queue and no WATCH is needed. Every request and answer is one JSON text (`wire`).
"""

from rq.defaults import RQ_KEY_PREFIX

KEYS = f"local RQ = '{RQ_KEY_PREFIX}'"

EXCHANGE = (
    KEYS
    + """
local ask = cjson.decode(ARGV[1])
local worker = RQ .. ':worker:' .. ask.worker
local mine = worker .. ':executions'
local taken, refused, suspended, last = {}, {}, false, nil

local function save(entry)
  local job = ask.jobs .. entry.job
  local results = RQ .. ':results:' .. entry.job
  local composite = entry.job .. ':' .. entry.execution
  if not entry.forced then
    if redis.call('EXISTS', job) == 0 or redis.call('EXISTS', job .. ':dependents') == 1 then return 'refused' end
  end
  local known = redis.call('SREM', mine, composite)
  redis.call('DEL', RQ .. ':execution:' .. composite)
  redis.call('ZREM', RQ .. ':wip:' .. entry.origin, composite)
  redis.call('ZREM', RQ .. ':executions:' .. entry.job, entry.execution)
  if known == 0 then
    -- Expired, or saved before and the answer was lost: the newest result tells.
    local last = redis.call('XREVRANGE', results, '+', '-', 'COUNT', 1)
    for i = 1, last[1] and #last[1][2] or 0 do
      if last[1][2][i] == entry.execution then return 'known' end
    end
  end
  local fields = {'status', entry.status, 'ended_at', entry.ended, 'last_heartbeat', entry.ended}
  if entry.exc_info then
    fields[#fields + 1] = 'exc_info'
    fields[#fields + 1] = entry.exc_info
  end
  redis.pcall('HSET', job, unpack(fields))
  redis.call('XADD', results, 'MAXLEN', '~', 10, '*', unpack(entry.result))
  local ttl = entry.ttl
  if ttl and ttl >= 0 then redis.call('EXPIRE', results, ttl) elseif ttl == -1 then redis.call('PERSIST', results) end
  local keep = ttl or entry.default_ttl
  local score = keep
  if keep >= 0 then score = ask.time + keep elseif entry.status == 'finished' then score = '+inf' end
  redis.call('ZADD', RQ .. ':' .. entry.status .. ':' .. entry.origin, score, entry.job)
  if keep >= 0 then
    redis.call('EXPIRE', job, keep)
    if entry.depends then redis.call('EXPIRE', ask.jobs .. ':' .. entry.job .. ':dependencies', keep) end
  end
  return 'saved'
end

local function begin(job_id, origin, execution, hash)
  local limit, told = nil, {}
  for i = 1, #hash, 2 do
    local name, value = hash[i], hash[i + 1]
    if value ~= '' then
      if name == 'timeout' then limit = tonumber(value) elseif name == 'origin' then origin = value end
      told[#told + 1] = name
      told[#told + 1] = value
    end
  end
  local lease = ask.interval + ask.margin
  if limit and limit > 0 then lease = math.floor(math.min(limit, ask.interval)) + ask.margin end
  local composite, key = job_id .. ':' .. execution, RQ .. ':execution:' .. job_id .. ':' .. execution
  redis.call('HSET', key, 'id', execution, 'job_id', job_id, 'created_at', ask.stamp, 'last_heartbeat', ask.stamp,
    'worker_name', ask.worker)
  redis.call('EXPIRE', key, lease)
  redis.call('ZADD', RQ .. ':executions:' .. job_id, ask.time + lease + 60, execution)
  redis.call('EXPIRE', RQ .. ':executions:' .. job_id, lease + 60)
  redis.call('ZADD', RQ .. ':wip:' .. origin, ask.time + lease, composite)
  redis.call('SADD', mine, composite)
  if #hash > 0 then
    redis.call('HSET', ask.jobs .. job_id, 'last_heartbeat', ask.now, 'status', 'started', 'started_at', ask.now,
      'worker_name', ask.worker)
    redis.call('PERSIST', ask.jobs .. job_id)
  end
  taken[#taken + 1] = {job_id, origin, execution, ask.stamp, told}
end

local function take(place)
  local job_id = redis.call('LPOP', place.key)
  if not job_id then return false end
  local hash = redis.pcall('HGETALL', ask.jobs .. job_id)
  if hash.err then hash = {} elseif #hash == 0 then return true end
  begin(job_id, place.name, ask.token .. string.format('%08x', #taken), hash)
  return true
end

local spent, finished, failed = 0, 0, 0
for i, entry in ipairs(ask.done) do
  local how = save(entry)
  if how == 'saved' then
    spent = spent + entry.spent
    if entry.status == 'finished' then finished = finished + 1 else failed = failed + 1 end
  elseif how == 'refused' then
    refused[#refused + 1] = i - 1
  end
end
if finished > 0 then redis.call('HINCRBY', worker, 'successful_job_count', finished) end
if failed > 0 then redis.call('HINCRBY', worker, 'failed_job_count', failed) end
if finished + failed > 0 then redis.call('HINCRBYFLOAT', worker, 'total_working_time', string.format('%.6f', spent)) end

if ask.known then
  local known = {}
  for _, composite in ipairs(ask.known) do known[composite] = true end
  for _, composite in ipairs(redis.call('SMEMBERS', mine)) do
    if not known[composite] then
      local cut = string.find(composite, ':[^:]*$')
      local job_id, execution = string.sub(composite, 1, cut - 1), string.sub(composite, cut + 1)
      local hash = redis.pcall('HGETALL', ask.jobs .. job_id)
      local record = redis.call('HGET', RQ .. ':execution:' .. composite, 'created_at')
      if hash.err then hash = {} end
      if record and #hash > 0 then
        taken[#taken + 1] = {job_id, '', execution, record, hash}
      else
        redis.call('SREM', mine, composite)
      end
    end
  end
end

if ask.take > 0 then
  suspended = redis.call('EXISTS', RQ .. ':suspended') == 1
  local limit, each, found = #taken + ask.take, ask.rotate and 1 or ask.take, not suspended
  while found and #taken < limit do
    found = false
    for index, place in ipairs(ask.queues) do
      for _ = 1, math.min(each, limit - #taken) do
        if not take(place) then break end
        found, last = true, index - 1
      end
    end
  end
end
if #taken > 0 then redis.call('EXPIRE', mine, math.max(ask.interval, 60) + 120) end

local state = (ask.running + #taken + #refused > 0) and 'busy' or 'idle'
if state ~= ask.state then redis.call('HSET', worker, 'state', state) end
return cjson.encode({taken = taken, refused = refused, suspended = suspended, state = state, last = last})
"""
)

BEAT = (
    KEYS
    + """
local ask = cjson.decode(ARGV[1])
local worker = RQ .. ':worker:' .. ask.worker
local mine = worker .. ':executions'
local alive = redis.call('EXISTS', worker)
redis.call('HSET', worker, 'last_heartbeat', ask.now)
redis.call('EXPIRE', worker, ask.lease)
redis.call('EXPIRE', mine, ask.lease + 60)
for _, entry in ipairs(ask.running) do
  local composite = entry.job .. ':' .. entry.execution
  local key = RQ .. ':execution:' .. composite
  -- What was saved meanwhile has no execution any more, and must not get one again.
  if entry.lease > 0 and redis.call('EXISTS', key) == 1 then
    redis.call('HSET', key, 'last_heartbeat', ask.stamp)
    redis.call('EXPIRE', key, entry.lease)
    redis.call('ZADD', RQ .. ':wip:' .. entry.origin, 'XX', ask.time + entry.lease, composite)
    redis.call('ZADD', RQ .. ':executions:' .. entry.job, 'XX', ask.time + entry.lease + 60, entry.execution)
    redis.call('EXPIRE', RQ .. ':executions:' .. entry.job, entry.lease + 60)
    if redis.call('EXISTS', ask.jobs .. entry.job) == 1 then
      redis.call('HSET', ask.jobs .. entry.job, 'last_heartbeat', ask.now)
    end
  end
end
return {alive, redis.call('SCARD', mine)}
"""
)
