-- What scripts share.

-- A partition's outbox: a sorted set of due times for each lane, and `:rt`, which says when each lane's next row is due.
local function wait_in(p, lane, due, id)
  redis.call('ZADD', p .. ':rt:' .. lane, due, id)
  local first = redis.call('ZRANGE', p .. ':rt:' .. lane, 0, 0, 'WITHSCORES')[2]
  redis.call('ZADD', p .. ':rt', first, lane)
end

local function wait_no_more(p, lane, id)
  if not lane then return end
  redis.call('ZREM', p .. ':rt:' .. lane, id)
  local first = redis.call('ZRANGE', p .. ':rt:' .. lane, 0, 0, 'WITHSCORES')[2]
  if first then redis.call('ZADD', p .. ':rt', first, lane) else redis.call('ZREM', p .. ':rt', lane) end
end

-- A customer's lists outlive what they name, so that an erasure finds it.
local BEYOND_MS = 2678400000
local oldest_fact

-- Appends a fact. Those from before `kept_ms` go, exactly: what the index forgets is gone.
local function append_fact(p, ws, subject, cause, body, kept_ms)
  if not oldest_fact then
    oldest_fact = string.format('%.0f', tonumber(redis.call('TIME')[1]) * 1000 - kept_ms)
  end
  local stream, index = p .. ':fx:' .. ws, p .. ':fi:' .. ws .. '\0' .. subject
  local id = redis.call('XADD', stream, 'MINID', '=', oldest_fact, '*', 's', subject, 'b', body)
  redis.call('RPUSH', index, id .. ' ' .. cause)
  redis.call('PEXPIRE', stream, string.format('%.0f', kept_ms + BEYOND_MS))
  redis.call('PEXPIRE', index, string.format('%.0f', kept_ms + BEYOND_MS))
  local first = redis.call('LINDEX', index, 0)
  while first and tonumber(string.match(first, '^%d+')) < tonumber(oldest_fact) do
    redis.call('LPOP', index)
    first = redis.call('LINDEX', index, 0)
  end
end

