-- Outside events that this node may tell. ARGV: node, limit, how long they are its, scanned at most.
-- Answers for each: name, body, who was told last.
local p, node = KEYS[1], ARGV[1]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local found = {}
for _, name in ipairs(redis.call('ZRANGE', p .. ':pending', 0, ARGV[4])) do
  if #found >= tonumber(ARGV[2]) then break end
  local key = p .. ':e:' .. name
  local row = redis.call('HMGET', key, 'n', 'u', 'b', 'a')
  if not row[3] then
    redis.call('ZREM', p .. ':pending', name)
  elseif row[1] == node or not row[2] or tonumber(row[2]) <= now then
    redis.call('HSET', key, 'n', node, 'u', string.format('%.0f', now + tonumber(ARGV[3])))
    found[#found + 1] = {name, row[3], row[4] or ''}
  end
end
return found
