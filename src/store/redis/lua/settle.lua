-- Ends a reservation. ARGV: device, commit id, whether the commit was done.
local key = KEYS[1] .. ':v:' .. ARGV[1]
local now = redis.call('HMGET', key, 'i', 't')
if now[1] ~= ARGV[2] then return 0 end
if ARGV[3] == '1' then
  if now[2] == '' then return redis.call('DEL', key) end
  redis.call('HSET', key, 'o', now[2])
end
redis.call('HDEL', key, 'i', 'q', 't')
return 1
