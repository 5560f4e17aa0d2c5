-- Commits of one partition, each done as a whole or not at all.
-- KEYS[1]: the partition. ARGV: whether this was sent before, how long facts and deliveries are kept, how many commits; then
-- for each how many arguments follow, and those.
-- A record: version (8 bytes), how many commit ids (1), the latest ids (8 each), schema (1), bytes. A deleted one is kept
-- for an hour with 128 more ids and without a schema; one that is made anew counts on, so that nobody takes it for the one
-- before. Answers for each the version (done), C (conflict) or U (it can't be told any more); then when the partition's next push and its next wake-up are due.
local p = KEYS[1]
local resent, kept_ms = ARGV[1] == '1', tonumber(ARGV[2])
local DELETED = 128
local IDS_BYTES = 32
-- A reservation's commit comes long before the mark that it is void goes.
local RESERVED_MS = 1800000
local i = 4

local function take()
  local value = ARGV[i]
  i = i + 1
  return value
end

local function each(run, ws, who, subject)
  for _ = 1, tonumber(take()) do run(ws, who, subject) end
end

local function clock_ms() return tonumber(redis.call('TIME')[1]) * 1000 end

-- Facts before this millisecond go.
local function oldest() return string.format('%.0f', clock_ms() - kept_ms) end

local function keep(key, ms) redis.call('PEXPIRE', key, string.format('%.0f', ms)) end

local function follow(ws, _, subject)
  redis.call('ZADD', p .. ':fo:' .. ws .. '\0' .. take(), 0, subject)
end

local function unfollow(ws, _, subject)
  redis.call('ZREM', p .. ':fo:' .. ws .. '\0' .. take(), subject)
end

local function take_fact(ws, _, subject)
  local cause, body = take(), take()
  append_fact(p, ws, subject, cause, body, kept_ms)
end

local function insert_delivery(ws, who)
  local id, decided, campaign, lane, body = take(), take(), take(), take(), take()
  local row = p .. ':d:' .. id
  if redis.call('EXISTS', row) == 1 then return end
  redis.call('HSET', row, 'b', body, 's', 'queued', 'a', '0', 'w', who, 'c', campaign, 'g', lane)
  wait_in(p, lane, decided, id)
  local mine, old = p .. ':du:' .. who, string.format('%.0f', tonumber(decided) - kept_ms)
  for _, list in ipairs({p .. ':dl:' .. ws, p .. ':dc:' .. ws .. '\0' .. campaign, mine}) do
    redis.call('ZADD', list, decided, id)
    keep(list, kept_ms + BEYOND_MS)
    if list ~= mine then redis.call('ZREMRANGEBYSCORE', list, '-inf', old) end
  end
  for _, one in ipairs(redis.call('ZRANGEBYSCORE', mine, '-inf', old, 'LIMIT', 0, 64)) do
    if redis.call('EXISTS', p .. ':d:' .. one) == 0 then redis.call('ZREM', mine, one) end
  end
end

local function move(ws, _, subject)
  local geofence, device, since, evidence = take(), take(), take(), take()
  local here, member = ws .. '\0' .. geofence, subject .. '\0' .. device
  if since == '' then
    redis.call('ZREM', p .. ':h:' .. here, member)
    redis.call('HDEL', p .. ':hd:' .. here, member)
  else
    redis.call('ZADD', p .. ':h:' .. here, 0, member)
    redis.call('HSET', p .. ':hd:' .. here, member, since .. ' ' .. evidence)
  end
end

local function erase(ws, who)
  local index = p .. ':fi:' .. who
  for _, entry in ipairs(redis.call('LRANGE', index, 0, -1)) do
    redis.call('XDEL', p .. ':fx:' .. ws, string.match(entry, '^%S+'))
  end
  redis.call('XTRIM', p .. ':fx:' .. ws, 'MINID', '=', oldest())
  redis.call('DEL', index)
  local mine = p .. ':du:' .. who
  for _, id in ipairs(redis.call('ZRANGE', mine, 0, -1)) do
    local row = redis.call('HMGET', p .. ':d:' .. id, 'c', 'g')
    local campaign = row[1]
    if campaign then redis.call('ZREM', p .. ':dc:' .. ws .. '\0' .. campaign, id) end
    redis.call('ZREM', p .. ':dl:' .. ws, id)
    wait_no_more(p, row[2], id)
    redis.call('ZREM', p .. ':dlq', id)
    redis.call('DEL', p .. ':d:' .. id, p .. ':x:' .. id)
  end
  redis.call('DEL', mine)
end

local function commit()
  local ws, subject, id, expected, record = take(), take(), take(), tonumber(take()), take()
  -- When its devices were reserved; '' without any.
  local reserved_at, wake_at, erases = take(), take(), take() == '1'
  local has_devices = reserved_at ~= ''
  local who = ws .. '\0' .. subject
  local key = p .. ':s:' .. who
  local head = redis.call('GETRANGE', key, 0, 8 + IDS_BYTES)
  local counted, has, ids = 0, 0, ''
  if #head > 0 then
    counted = struct.unpack('>I8', head)
    local count = string.byte(head, 9)
    if count < DELETED then has = counted else count = count - DELETED end
    ids = string.sub(head, 10, 9 + 8 * count)
    for at = 1, #ids, 8 do
      if string.sub(ids, at, at + 7) == id then return string.format('%.0f', counted - (at - 1) / 8) end
    end
  end
  if has_devices then
    local is_old = clock_ms() - tonumber(reserved_at) > RESERVED_MS
    if is_old or redis.call('GET', p .. ':c:' .. id) == 'v' then return 'C' end
  end
  if has ~= expected or (record == '' and has == 0) then
    -- Had it been done, others may have pushed its id out since.
    if resent and #ids == IDS_BYTES then return 'U' end
    return 'C'
  end
  counted = counted + 1
  ids = string.sub(id .. ids, 1, IDS_BYTES)
  local version, count = struct.pack('>I8', counted), #ids / 8
  -- The first write is one that a full Redis refuses, so that it refuses all.
  if record == '' then
    redis.call('SET', key, version .. string.char(DELETED + count) .. ids, 'PX', 3600000)
  else
    redis.call('SET', key, version .. string.char(count) .. ids .. record)
  end
  -- It stays until all devices are settled: without it a claim that counts would be undone.
  if has_devices then redis.call('SET', p .. ':c:' .. id, 'd') end
  if wake_at == '' then
    redis.call('ZREM', p .. ':tm', who)
  else
    redis.call('ZADD', p .. ':tm', wake_at, who)
  end
  each(follow, ws, who, subject)
  each(unfollow, ws, who, subject)
  each(insert_delivery, ws, who, subject)
  each(take_fact, ws, who, subject)
  each(move, ws, who, subject)
  if erases then erase(ws, who) end
  return string.format('%.0f', counted)
end

local answers = {}
for _ = 1, tonumber(ARGV[3]) do
  local next = i + 1 + tonumber(ARGV[i])
  i = i + 1
  answers[#answers + 1] = commit()
  i = next
end
local function next_due(set) return redis.call('ZRANGE', p .. set, 0, 0, 'WITHSCORES')[2] or '' end
return {answers, next_due(':rt'), next_due(':tm')}
