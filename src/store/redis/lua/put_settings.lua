-- Writes a workspace's settings. ARGV: node, workspace, expected version, at, document. Kept is: version, time, line feed,
-- document.
local c = KEYS[1]
local key = c .. ':settings'
local known = redis.call('HGET', key, ARGV[2])
local version = known and tonumber(string.match(known, '^%d+')) or 0
if version ~= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', key, ARGV[2], (version + 1) .. ' ' .. ARGV[4] .. '\n' .. ARGV[5])
redis.call('SADD', c .. ':workspaces', ARGV[2])
redis.call('XADD', c .. ':changes', 'MAXLEN', '~', 1000, '*', 'n', ARGV[1], 'k', 'settings', 'w', ARGV[2])
return 1
