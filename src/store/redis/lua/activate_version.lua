-- Makes a kept version live. ARGV: node, workspace, set, version, at.
local c, ws, set = KEYS[1], ARGV[2], ARGV[3]
if redis.call('HEXISTS', c .. ':versions:' .. ws .. '\0' .. set, ARGV[4]) == 0 then return 0 end
local newest = string.match(redis.call('HGET', c .. ':sets:' .. ws, set), '^%d+ (%d+)')
redis.call('HSET', c .. ':sets:' .. ws, set, ARGV[4] .. ' ' .. newest .. ' ' .. ARGV[5])
redis.call('DEL', c .. ':edits:' .. ws .. '\0' .. set)
redis.call('SREM', c .. ':edited:' .. ws, set)
redis.call('XADD', c .. ':changes', 'MAXLEN', '~', 1000, '*', 'n', ARGV[1], 'k', 'sets', 'w', ws)
return 1
