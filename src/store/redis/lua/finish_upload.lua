-- Makes an upload the newest version of a set. ARGV: node, workspace, set, upload, count, at, versions kept,
-- parts.
-- A set: live newest time. A version: upload count time parts. Answers the version, then those that are no longer kept.
local c, ws, set = KEYS[1], ARGV[2], ARGV[3]
local sets, versions = c .. ':sets:' .. ws, c .. ':versions:' .. ws .. '\0' .. set
local known = redis.call('HGET', sets, set)
if known then
  -- Sent twice because its answer was lost: two versions of one upload would lose their parts together.
  local newest = string.match(known, '^%d+ (%d+)')
  local latest = redis.call('HGET', versions, newest)
  if latest and string.match(latest, '^%S+') == ARGV[4] then return {newest} end
end
local version = known and tonumber(string.match(known, '^%d+ (%d+)')) + 1 or 1
redis.call('HSET', sets, set, version .. ' ' .. version .. ' ' .. ARGV[6])
redis.call('HSET', versions, version, ARGV[4] .. ' ' .. ARGV[5] .. ' ' .. ARGV[6] .. ' ' .. ARGV[8])
redis.call('DEL', c .. ':edits:' .. ws .. '\0' .. set)
redis.call('SREM', c .. ':edited:' .. ws, set)
local answer = {tostring(version)}
for _, old in ipairs(redis.call('HKEYS', versions)) do
  if tonumber(old) <= version - tonumber(ARGV[7]) then
    answer[#answer + 1] = redis.call('HGET', versions, old)
    redis.call('HDEL', versions, old)
  end
end
redis.call('SADD', c .. ':workspaces', ws)
redis.call('XADD', c .. ':changes', 'MAXLEN', '~', 1000, '*', 'n', ARGV[1], 'k', 'sets', 'w', ws)
return answer
