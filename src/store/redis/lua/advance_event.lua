-- Notes how far an outside event has come. ARGV: name, who was told last ('': everybody was), how long its name is kept.
local key = KEYS[1] .. ':e:' .. ARGV[1]
if redis.call('EXISTS', key) == 0 then return 0 end
if ARGV[2] == '' then
  redis.call('ZREM', KEYS[1] .. ':pending', ARGV[1])
  -- Only the name is needed any more.
  redis.call('HSET', key, 'b', '')
  redis.call('PEXPIRE', key, ARGV[3])
else
  redis.call('HSET', key, 'a', ARGV[2])
end
return 1
