-- What commits bring besides their records. ARGV, after those of `swap.lua`: how long facts and deliveries are kept; then
-- for each commit that brings something: workspace, customer, whether all is erased, and lists, each with its length: topics
-- followed and no longer followed, deliveries, facts, stays.
local kept_ms = tonumber(ARGV[7 * count + 3])
local outbox_changed = {}
local i

local function take()
  local value = ARGV[i]
  i = i + 1
  return value
end

local function each(run, ws, who, subject)
  for _ = 1, tonumber(take()) do run(ws, who, subject) end
end

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
  redis.call('HSET', row, 'b', body, 's', 'queued', 'a', '0', 'w', who, 'c', campaign, 'g', lane, 't', decided)
  redis.call('ZADD', p .. ':rt:' .. lane, decided, id)
  redis.call('ZADD', p .. ':rt', 'LT', decided, lane)
  outbox_changed[p] = true
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
  -- Facts before this millisecond go.
  local oldest = string.format('%.0f', tonumber(redis.call('TIME')[1]) * 1000 - kept_ms)
  redis.call('XTRIM', p .. ':fx:' .. ws, 'MINID', '=', oldest)
  redis.call('DEL', index)
  local mine = p .. ':du:' .. who
  for _, id in ipairs(redis.call('ZRANGE', mine, 0, -1)) do
    local row = redis.call('HMGET', p .. ':d:' .. id, 'c', 'g')
    local campaign, lane = row[1], row[2]
    if campaign then redis.call('ZREM', p .. ':dc:' .. ws .. '\0' .. campaign, id) end
    redis.call('ZREM', p .. ':dl:' .. ws, id)
    if lane then
      redis.call('ZREM', p .. ':rt:' .. lane, id)
      look_at_lane(p, lane)
    end
    redis.call('ZREM', p .. ':dlq', id)
    redis.call('DEL', p .. ':d:' .. id, p .. ':x:' .. id)
  end
  redis.call('DEL', mine)
  outbox_changed[p] = true
end

local from = 7 * count + 4
for n = 1, count do
  local has = tonumber(ARGV[7 * n + 2])
  if has > 0 and is_done[n] then
    p, i = ARGV[7 * n - 4], from
    local ws, subject, erases = take(), take(), take() == '1'
    local who = ARGV[7 * n - 3]
    each(follow, ws, who, subject)
    each(unfollow, ws, who, subject)
    each(insert_delivery, ws, who, subject)
    each(take_fact, ws, who, subject)
    each(move, ws, who, subject)
    if erases then erase(ws, who) end
    if outbox_changed[p] then outbox_changed[p] = n end
  end
  from = from + has
end
for partition, n in pairs(outbox_changed) do
  answers[said + 1], answers[said + 2] = n, 'rt'
  answers[said + 3] = redis.call('ZRANGE', partition .. ':rt', 0, 0, 'WITHSCORES')[2] or '-'
  said = said + 3
end
return answers
