-- Removes a set. ARGV: node, workspace, set. Answers whether there was one, then its versions.
local c, ws, set = KEYS[1], ARGV[2], ARGV[3]
local versions = c .. ':versions:' .. ws .. '\0' .. set
local there = redis.call('HDEL', c .. ':sets:' .. ws, set)
  + redis.call('DEL', c .. ':edits:' .. ws .. '\0' .. set)
redis.call('SREM', c .. ':edited:' .. ws, set)
local answer = {there > 0 and '1' or '0'}
for _, version in ipairs(redis.call('HVALS', versions)) do
  answer[#answer + 1] = version
end
redis.call('DEL', versions)
redis.call('XADD', c .. ':changes', 'MAXLEN', '~', 1000, '*', 'n', ARGV[1], 'k', 'sets', 'w', ws)
return answer
