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
  local before = redis.call('LINDEX', index, -1)
  redis.call('RPUSH', index, id .. ' ' .. cause)
  -- By their first four digits times are a million seconds apart, eleven days: what is lengthened once in each lasts long
  -- enough.
  if before and string.sub(before, 1, 4) == string.sub(id, 1, 4) then return end
  local ends = string.format('%.0f', kept_ms + BEYOND_MS)
  redis.call('PEXPIRE', stream, ends)
  redis.call('PEXPIRE', index, ends)
  local first = redis.call('LINDEX', index, 0)
  while first and tonumber(string.match(first, '^%d+')) < tonumber(oldest_fact) do
    redis.call('LPOP', index)
    first = redis.call('LINDEX', index, 0)
  end
end

