-- Removes a campaign. ARGV: node, workspace, id.
local c = KEYS[1]
local deleted = redis.call('HDEL', c .. ':campaigns:' .. ARGV[2], ARGV[3])
redis.call('DEL', c .. ':cv:' .. ARGV[2] .. '\0' .. ARGV[3])
if deleted == 1 then
  redis.call('XADD', c .. ':changes', 'MAXLEN', '~', 1000, '*', 'n', ARGV[1], 'k', 'campaigns', 'w', ARGV[2])
end
return deleted
