-- The ledger's transitions. One call is one atomic step: every check comes before the first
-- write, because Redis does not roll a script back; then state changes and the event is appended.
--
-- KEYS: 1 campaign hash, 2 its log (stream), 3 its queue (list), 4 its trials (hash),
--       5 instrument hash, 6 the instrument's open campaigns (list), 7 all campaigns (list)
-- ARGV: 1 operation, 2 schema version of events, then the operation's own arguments
--
-- A trial is kept as fields '<id>:state', ':attempts', ':crashes', ':grants', ':fence',
-- ':failed' (fence of the last failed attempt), ':unreduced' (what the reducer failed with last),
-- ':resolved' (how it was decided last), ':corrected' (its last correction), ':proposal', ':revision'
-- (how often that was replaced), ':question' (the newest of its running attempt), ':answer' (to it),
-- ':answered' (the last answer of any attempt), ':approved' (who let it start). The campaign keeps 'remark:<key>' for each remark that is in its log,
-- 'left:<sample>' for each sample, and 'chain' and 'last', the hash and the id of its newest entry.
-- A proposal stays the text that Python wrote: Lua's JSON would cut the last digits of floats.
-- Answers: {'ok', ...}; {'no', why} changes nothing; {'lost', why} means the lease is gone.

local campaign, log, queue, trials, instrument, open, all = unpack(KEYS)
local operation, version = ARGV[1], ARGV[2]
local terminal = { measured = true, invalid = true, abandoned = true, cancelled = true }

local function now()
  local time = redis.call('TIME')
  return string.format('%d.%06d', time[1], time[2])
end

-- Each entry is chained to the one before it: its hash covers that one's hash and id, and its own
-- fields in their order, each with its length. The campaign keeps the last hash and id, so that a
-- log which is cut short is found out. SHA-1 is what the server offers; docs/explanations/verification.md
-- says why it suffices.
local function emit(kind, data, ...)
  local fields = { 'type', kind, 'v', version, 'at', now(), 'data', data, ... }
  local last = redis.call('HMGET', campaign, 'chain', 'last')
  local covered = { last[1] or '', last[2] or '', unpack(fields) }
  for place, text in ipairs(covered) do covered[place] = #text .. ':' .. text end
  local chain = redis.sha1hex(table.concat(covered))
  table.insert(fields, 'chain')
  table.insert(fields, chain)
  local id = redis.call('XADD', log, '*', unpack(fields))
  redis.call('HSET', campaign, 'chain', chain, 'last', id)
end

local function get(id, field) return redis.call('HGET', trials, id .. ':' .. field) or nil end
local function set(id, field, value) redis.call('HSET', trials, id .. ':' .. field, value) end
local function count(id, field) return tonumber(get(id, field) or '0') end
local function about(field) return redis.call('HGET', instrument, field) or nil end
local function status() return redis.call('HGET', campaign, 'status') or nil end

local function is_over(time) return tonumber(time or '0') < tonumber(now()) end

-- The holder is alive until then unless it says so again; 'deadline' is by when it means to be done.
local function alive(ttl, deadline)
  local seen = now()
  local till = string.format('%.6f', tonumber(seen) + tonumber(ttl))
  redis.call('HSET', instrument, 'until', till, 'seen', seen)
  if deadline ~= '' then redis.call('HSET', instrument, 'deadline', deadline) end
end

local function released() redis.call('HDEL', instrument, 'until', 'seen', 'deadline') end

local function is_in(value, list)
  for word in string.gmatch(list, '[^,]+') do
    if word == value then return true end
  end
  return false
end

local function next_fence(floor)
  return math.max(tonumber(about('fence') or '0'), tonumber(floor)) + 1
end

-- The lease is the caller's when trial and instrument carry its fence. The name matters after
-- lost writes: a fence that no device has seen may be drawn a second time.
local function holds(id, fence, worker)
  return get(id, 'fence') == fence and about('fence') == fence and about('state') == 'leased'
    and about('holder') == worker
end

local function place(id, state)
  set(id, 'state', state)
  if state == 'queued' then redis.call('LPUSH', queue, id) end
end

-- The sample that a trial spends; nil without a list of samples, or when it is not on the list.
local function sample_of(id)
  local parameter = redis.call('HGET', campaign, 'sample')
  local sample = parameter and cjson.decode(get(id, 'proposal')).parameters[parameter]
  local is_listed = type(sample) == 'string'
    and redis.call('HEXISTS', campaign, 'left:' .. sample) == 1
  return is_listed and sample or nil
end

local function left(sample) return tonumber(redis.call('HGET', campaign, 'left:' .. sample)) end

local function needs_approval(id)
  return tonumber(id) <= tonumber(redis.call('HGET', campaign, 'step') or '0')
end

local ops = {}

-- Trials up to number 'step' are leased only when a person has approved them. 'sample' is the
-- parameter that names a trial's sample, or empty; after it come the samples, each with its uses.
function ops.open(id, name, step, data, sample, ...)
  if redis.call('EXISTS', campaign) == 1 then
    local opened = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1][2]
    for place = 1, #opened, 2 do
      if opened[place] == 'data' and opened[place + 1] == data then return { 'ok' } end
    end
    return { 'no', 'exists' }
  end
  redis.call('HSET', campaign, 'status', 'running', 'next', '1', 'instrument', name, 'step', step)
  if sample ~= '' then
    redis.call('HSET', campaign, 'sample', sample)
    local samples = { ... }
    for place = 1, #samples, 2 do
      redis.call('HSET', campaign, 'left:' .. samples[place], samples[place + 1])
    end
  end
  redis.call('RPUSH', open, id)
  redis.call('RPUSH', all, id)
  emit('opened', data)
  return { 'ok' }
end

function ops.propose(id, data)
  if not is_in(status(), 'running,paused,suspended,needs_person') then return { 'no', 'closed' } end
  if get(id, 'proposal') == data then return { 'ok' } end
  if redis.call('HGET', campaign, 'next') ~= id then return { 'no', 'number' } end
  redis.call('HSET', campaign, 'next', string.format('%d', tonumber(id) + 1))
  redis.call('HSET', trials, id .. ':state', 'queued', id .. ':proposal', data)
  redis.call('RPUSH', queue, id)
  emit('proposed', data)
  return { 'ok' }
end

-- Better parameters for a trial that waits and was never started; 'revision' counts from 1.
function ops.supersede(id, revision, data)
  if get(id, 'proposal') == data and get(id, 'revision') == revision then return { 'ok' } end
  if not is_in(status(), 'running,paused,suspended,needs_person') then return { 'no', 'closed' } end
  if get(id, 'state') ~= 'queued' or count(id, 'attempts') > 0 then return { 'no', 'started' } end
  if count(id, 'revision') + 1 ~= tonumber(revision) then return { 'no', 'revision' } end
  redis.call('HSET', trials, id .. ':proposal', data, id .. ':revision', revision)
  redis.call('HDEL', trials, id .. ':approved')
  emit('superseded', data, 'revision', revision)
  return { 'ok' }
end

-- Once for each attempt, and for these parameters: 'revision' says which.
function ops.approve(id, revision, data)
  local state = get(id, 'state')
  if state ~= 'queued' or count(id, 'revision') ~= tonumber(revision) or not needs_approval(id) then
    return { 'no', state or 'unknown trial' }
  end
  if get(id, 'approved') then return { 'ok' } end
  set(id, 'approved', data)
  emit('approved', data)
  return { 'ok' }
end

function ops.step(upto, data)
  if redis.call('HGET', campaign, 'step') == upto then return { 'ok' } end
  redis.call('HSET', campaign, 'step', upto)
  emit('stepped', data)
  return { 'ok' }
end

function ops.acquire(id, worker, floor, ttl, most_grants)
  if about('state') == 'leased' and about('holder') == worker and about('campaign') == id then
    local held = about('trial')
    return { 'ok', held, about('fence'), get(held, 'attempts') or '0', get(held, 'crashes') or '0',
             get(held, 'proposal') }
  end
  if about('state') ~= 'ready' then return { 'no', 'instrument' } end
  if status() ~= 'running' then return { 'no', 'campaign' } end
  local trial = redis.call('LINDEX', queue, 0)
  if not trial then return { 'no', 'empty' } end
  if needs_approval(trial) and not get(trial, 'approved') then return { 'no', 'not approved' } end
  redis.call('LPOP', queue)
  if count(trial, 'grants') - count(trial, 'attempts') >= tonumber(most_grants) then
    set(trial, 'state', 'abandoned')
    emit('abandoned', '{"reason":"leased ' .. most_grants .. ' times without a start"}',
         'trial_id', trial)
    return ops.acquire(id, worker, floor, ttl, most_grants)
  end
  local sample = sample_of(trial)
  if sample and left(sample) < 1 then
    set(trial, 'state', 'abandoned')
    local reason = cjson.encode('sample ' .. sample .. ' is used up')
    emit('abandoned', '{"reason":' .. reason .. '}', 'trial_id', trial)
    return ops.acquire(id, worker, floor, ttl, most_grants)
  end
  local fence = string.format('%d', next_fence(floor))
  redis.call('HINCRBY', trials, trial .. ':grants', 1)
  set(trial, 'state', 'leased')
  set(trial, 'fence', fence)
  redis.call('HSET', instrument, 'state', 'leased', 'holder', worker, 'fence', fence,
             'campaign', id, 'trial', trial)
  alive(ttl, '')
  emit('leased', '{}', 'trial_id', trial, 'fence', fence, 'worker', worker)
  return { 'ok', trial, fence, get(trial, 'attempts') or '0', get(trial, 'crashes') or '0',
           get(trial, 'proposal') }
end

function ops.start(id, fence, worker)
  if not holds(id, fence, worker) then return { 'lost', 'lease' } end
  local state = get(id, 'state')
  if state == 'running' then return { 'ok', get(id, 'attempts') } end
  if state ~= 'leased' then return { 'lost', 'trial is ' .. state } end
  local attempt = redis.call('HINCRBY', trials, id .. ':attempts', 1)
  set(id, 'state', 'running')
  redis.call('HDEL', trials, id .. ':question', id .. ':answer', id .. ':approved')
  local sample = sample_of(id)
  if sample then redis.call('HINCRBY', campaign, 'left:' .. sample, -1) end
  emit('started', '{}', 'trial_id', id, 'attempt', tostring(attempt), 'fence', fence)
  return { 'ok', tostring(attempt) }
end

-- The plan waits for a person; gives the answer as soon as there is one.
function ops.ask(id, fence, worker, question, data)
  if not holds(id, fence, worker) or get(id, 'state') ~= 'running' then
    return { 'lost', 'lease' }
  end
  if get(id, 'question') ~= question then
    set(id, 'question', question)
    redis.call('HDEL', trials, id .. ':answer')
    emit('asked', data)
  end
  return { 'ok', get(id, 'answer') }
end

function ops.answer(id, question, text, data)
  if get(id, 'answered') == data then return { 'ok' } end
  local state = get(id, 'state')
  if state ~= 'running' or get(id, 'question') ~= question or get(id, 'answer') then
    return { 'no', state or 'unknown trial' }
  end
  redis.call('HSET', trials, id .. ':answer', text, id .. ':answered', data)
  emit('answered', data)
  return { 'ok' }
end

function ops.renew(worker, fence, ttl, deadline)
  local held = is_in(about('state'), 'leased,recovering')
  if not held or about('holder') ~= worker or about('fence') ~= fence then return { 'no', 'lease' } end
  alive(ttl, deadline)
  return { 'ok' }
end

function ops.acquired(id, fence, worker, data)
  local state = get(id, 'state')
  if get(id, 'fence') == fence and is_in(state, 'acquired,unreduced,measured,invalid') then
    return { 'ok' }
  end
  if not holds(id, fence, worker) or state ~= 'running' then return { 'lost', 'lease' } end
  set(id, 'state', 'acquired')
  redis.call('HSET', instrument, 'state', 'ready')
  released()
  emit('acquired', data)
  return { 'ok' }
end

-- Written down for people, never counted; 'id' is the trial that it is about, or empty.
function ops.remark(id, key, kind, data)
  if redis.call('EXISTS', campaign) == 0 then return { 'no', 'unknown campaign' } end
  if id ~= '' and not get(id, 'state') then return { 'no', 'unknown trial' } end
  if redis.call('HSETNX', campaign, 'remark:' .. key, '1') == 0 then return { 'ok' } end
  emit(kind, data)
  return { 'ok' }
end

function ops.fail(id, fence, worker, next_state, crash, instrument_state, data)
  if get(id, 'failed') == fence then return { 'ok' } end
  if not holds(id, fence, worker) or not is_in(get(id, 'state'), 'leased,running') then
    return { 'lost', 'lease' }
  end
  set(id, 'failed', fence)
  place(id, next_state)
  if crash == '1' then redis.call('HINCRBY', trials, id .. ':crashes', 1) end
  redis.call('HSET', instrument, 'state', instrument_state)
  released()
  emit('failed', data)
  if instrument_state ~= 'ready' then
    emit('instrument_changed', '{"state":"' .. instrument_state .. '"}')
  end
  return { 'ok' }
end

function ops.settle(id, next_state, kind, data)
  local state = get(id, 'state')
  if not is_in(state, 'acquired,unreduced') then return { 'no', state or 'unknown trial' } end
  if next_state == 'unreduced' then
    if get(id, 'unreduced') == data then return { 'ok' } end
    set(id, 'unreduced', data)
  end
  set(id, 'state', next_state)
  emit(kind, data)
  return { 'ok' }
end

-- The newest outcomes of a measured trial count; its state stays.
function ops.correct(id, data)
  local state = get(id, 'state')
  if state ~= 'measured' then return { 'no', state or 'unknown trial' } end
  if get(id, 'corrected') == data then return { 'ok' } end
  set(id, 'corrected', data)
  emit('corrected', data)
  return { 'ok' }
end

function ops.cancel(id, data)
  local state = get(id, 'state')
  if not is_in(state, 'queued,suspect') then return { 'no', state or 'unknown trial' } end
  redis.call('LREM', queue, 0, id)
  set(id, 'state', 'cancelled')
  emit('cancelled', data)
  return { 'ok' }
end

-- The last order, sent again after a lost reply, finds the status that it made itself.
function ops.order(expected, next_status, urgency, kind, data)
  if redis.call('HGET', campaign, 'order') == kind .. data then return { 'ok' } end
  if not is_in(status(), expected) then return { 'no', status() } end
  redis.call('HSET', campaign, 'status', next_status, 'urgency', urgency, 'order', kind .. data)
  emit(kind, data)
  return { 'ok' }
end

function ops.finish(id, final_status, last_id, data)
  if is_in(status(), 'done,stopped,aborted,failed') then return { 'no', 'over' } end
  local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)
  if newest[1][1] ~= last_id then return { 'no', 'newer events' } end
  redis.call('HSET', campaign, 'status', final_status)
  redis.call('LREM', open, 0, id)
  emit('ended', data)
  return { 'ok' }
end

function ops.register(worker, envelope)
  redis.call('HSETNX', instrument, 'state', 'ready')
  redis.call('HSETNX', instrument, 'fence', '0')
  redis.call('HSET', instrument, 'worker', worker, 'envelope', envelope)
  return { 'ok' }
end

-- 'dead' is a holder known to have died, or empty when only the time may end the lease.
function ops.expire(id, dead)
  if about('state') ~= 'leased' or about('campaign') ~= id then return { 'no', 'not leased' } end
  if dead == '' then
    if not is_over(about('until')) then return { 'no', 'valid' } end
  elseif dead ~= about('holder') then
    return { 'no', 'other holder' }
  end
  local trial = about('trial')
  local moved = get(trial, 'state') == 'running'
  released()
  if moved then
    set(trial, 'state', 'suspect')
    redis.call('HSET', instrument, 'state', 'unknown')
  else
    place(trial, 'queued')
    redis.call('HSET', instrument, 'state', 'ready')
  end
  emit('lease_expired', '{}', 'trial_id', trial, 'worker', about('holder'), 'moved', moved and '1' or '0')
  if moved then emit('instrument_changed', '{"state":"unknown","reason":"its worker died"}') end
  return { 'ok' }
end

-- 'dead' is a worker known to have died in the middle of its recovery, or empty. A floor above the
-- fence says that this log went back: then even a ready instrument is not known to be so.
function ops.recover(worker, next_state, floor, expected, ttl, dead, reason, data)
  local state, holder = about('state'), about('holder')
  local went_back = tonumber(floor) > tonumber(about('fence') or '0')
  if state == next_state and holder == worker then return { 'ok' } end
  if not is_in(state, expected)
     and not (state == 'ready' and next_state == 'recovering' and went_back) then
    return { 'lost', 'instrument is ' .. (state or 'new') }
  end
  if state == 'recovering' and holder ~= worker
     and (next_state ~= 'recovering' or (holder ~= dead and not is_over(about('until')))) then
    return { 'lost', holder .. ' recovers it' }
  end
  redis.call('HSET', instrument, 'state', next_state, 'holder', worker, 'reason', reason)
  if next_state == 'recovering' then
    redis.call('HSET', instrument, 'fence', string.format('%d', next_fence(floor)))
    alive(ttl, '')
  else
    released()
  end
  if redis.call('EXISTS', campaign) == 1 then emit('instrument_changed', data) end
  return { 'ok' }
end

-- Staff have looked at a fault: the instrument is not ready yet, but it may be observed again.
function ops.clear(reason, data)
  if about('state') ~= 'fault' then
    if about('cleared') == reason then return { 'ok' } end
    return { 'no', about('state') or 'new' }
  end
  redis.call('HSET', instrument, 'state', 'unknown', 'reason', reason, 'cleared', reason)
  if redis.call('EXISTS', campaign) == 1 then emit('instrument_changed', data) end
  return { 'ok' }
end

-- A trial that is suspect anew is decided anew, be it in the same words.
function ops.resolve(id, next_state, crash, kind, data)
  local state = get(id, 'state')
  if state ~= 'suspect' then
    if get(id, 'resolved') == kind .. data then return { 'ok' } end
    return { 'no', state or 'unknown trial' }
  end
  set(id, 'resolved', kind .. data)
  place(id, next_state)
  if crash == '1' then redis.call('HINCRBY', trials, id .. ':crashes', 1) end
  emit(kind, data)
  return { 'ok' }
end

return ops[operation](unpack(ARGV, 3))
